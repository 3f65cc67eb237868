//! The form of a public key, for the document.

use utoipa::ToSchema;

/// An OpenSSH public key, one line without options.
#[derive(ToSchema)]
#[schema(
    pattern = r"^(ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}|(ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com) [A-Za-z0-9+/]+={0,2})( .{0,255})?$",
    example = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN01b3hosV/xotUftL4DrHvZQ+L4cgFDuAKjFLIxlnmu me"
)]
pub(crate) struct KeyLine(#[expect(dead_code, reason = "only its schema is used")] String);
