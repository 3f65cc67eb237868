//! Which keys are strong enough to open anything.

use russh::keys::ssh_key::public::KeyData;

/// Bits of the shortest RSA modulus; shorter ones are within reach of whoever can pay for it (NIST SP 800-131A).
const SHORTEST_RSA: u32 = 2048;

/// Pure: Ed25519 and ECDSA in each of their sizes, both also on a hardware token, and long RSA. No DSA.
pub(in crate::ssh) fn suffices(key: &KeyData) -> bool {
    if let KeyData::Rsa(key) = key {
        return key.key_size() >= SHORTEST_RSA;
    }
    matches!(
        key,
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_)
    )
}

#[cfg(test)]
pub(super) mod tests {
    use russh::keys::PublicKey;

    use super::*;

    pub(in crate::ssh::auth) const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC1MN8dcp7nTJ5n2GCGJKpDZB66fm7x40JzhLB8YjYqvdU39BkQ/YwQ9iX9E2Vm09gd+5VQWNTU8PNWjXmMkZXqq3+L72rQy0f5zT39hbMMDrqZ07h4kSsLs21ih89EE8Pyyd1WGXzY8PlDueY5YBV77n46T6QTjw9PNdhCHs3/jQ==";
    pub(in crate::ssh::auth) const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDIbxg35gcsPb1Ki/tCW9EXXm+4sN4iquiNAyHaYl7AE26P6JpI+CDm02zXihFycQ3me+v4zRfOlLLAEX7lWlHGFN8mTLbWY1drMQQpvmZJb7oCKy5BQM+5u7I9qgWPCd4vU4MLQZfGVB2yRcN7Wi10YOpPkVJkF8L93zoT1FMV5SWQKp9o1PWg2Fm1r9hf6MyH5eEJl4pz1Fc1zPkcZKQDeqhB03NVgW3mCheu+UFInIx7Rl5NMSD0Z+NpbYYY/Sgwol8w4i0jZ5rJds7IKtNT2zNvZSSjAPUT1xLWu5/A7Cq6hw9zXy4tPgkdxW9yYRr4IVpFamAVez0+/6ZnSOgJ";

    #[test]
    fn rsa_must_be_long() {
        let suffices = |line| suffices(PublicKey::from_openssh(line).unwrap().key_data());
        assert!(!suffices(RSA_1024));
        assert!(suffices(RSA_2048));
    }
}
