//! QEMU (stub, replaced within the hour).
