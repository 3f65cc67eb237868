//! pitwall
