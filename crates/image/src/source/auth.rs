//! The token dance of registries: a 401 names a token server, its token opens the repository
//! (distribution-spec v1.1, "Token Authentication"; RFC 6750 section 3).

use serde::Deserialize;

/// What a registry asks for before it answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token of a token server.
    Token(TokenServer),
    /// The credentials themselves (RFC 7617).
    Basic,
}

/// Who gives tokens for a registry, and what to ask it for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenServer {
    /// Its address.
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
}

/// A token server's answer; it may use either name.
#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl TokenAnswer {
    /// The token.
    pub(super) fn into_token(self) -> Option<String> {
        self.token.or(self.access_token).filter(|token| !token.is_empty())
    }
}

impl Challenge {
    /// Reads a `WWW-Authenticate` header; `None` if it asks for something else.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let header = header.trim();
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| TokenServer::parse(rest).map(Self::Token))?
    }
}

impl TokenServer {
    fn parse(mut rest: &str) -> Option<Self> {
        let (mut realm, mut service, mut scope) = (None, None, None);
        while let Some((key, value, further)) = parameter(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
            rest = further;
        }
        Some(Self {
            realm: realm?,
            service,
            scope,
        })
    }
}

/// The first `key=value` or `key="value"`, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([',', ' ', '\t']);
    let (key, rest) = text.split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, further) = rest.split_once(',').unwrap_or((rest, ""));
        return Some((key.trim(), value.trim().to_owned(), further));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((key.trim(), value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_registries_write_them() {
        let challenge = Challenge::parse(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#,
        );
        let expected = TokenServer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        assert_eq!(challenge, Some(Challenge::Token(expected)));
        let bare = Challenge::parse("bearer realm=http://x/y, service=z");
        let Some(Challenge::Token(bare)) = bare else {
            panic!("{bare:?}");
        };
        assert_eq!(
            (bare.realm.as_str(), bare.service.as_deref()),
            ("http://x/y", Some("z"))
        );
        for basic in ["Basic realm=\"x\"", "basic"] {
            assert_eq!(Challenge::parse(basic), Some(Challenge::Basic), "{basic}");
        }
        for other in [
            "Digest realm=\"x\"",
            "Bearer",
            "Bearer service=\"x\"",
            "Bearer realm=\"open",
        ] {
            assert_eq!(Challenge::parse(other), None, "{other}");
        }
    }
}
