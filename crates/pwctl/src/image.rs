//! Image references as they are typed: a layout's directory may be relative to where the person stands.

use std::path;

use crate::failure::Failure;

/// The reference with the whole path of a layout. Everything else is the server's to judge.
pub(crate) fn absolute(reference: &str) -> Result<String, Failure> {
    let Some(layout) = reference.strip_prefix("oci:").filter(|layout| !layout.is_empty()) else {
        return Ok(reference.to_owned());
    };
    // A tag behind the directory stays where it is: it is the end of the text.
    match path::absolute(layout) {
        Ok(path) => Ok(format!("oci:{}", path.display())),
        Err(source) => Err(Failure::CurrentDirectory {
            reference: reference.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_get_their_whole_path() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(
            absolute("oci:images/a:v1").unwrap(),
            format!("oci:{}/images/a:v1", here.display())
        );
        assert_eq!(absolute("oci:/srv/a").unwrap(), "oci:/srv/a");
        assert_eq!(absolute("oci:").unwrap(), "oci:");
        assert_eq!(absolute("debian:12").unwrap(), "debian:12");
    }
}
