//! Which server is spoken to, and with which token. Pure.
//!
//! | first that is there | server | token |
//! | --- | --- | --- |
//! | `--url` | that one | that of the context for it, else on this machine `admin.token` |
//! | `--context` | the context's | the context's |
//! | `PITWALL_URL` | as `--url` | |
//! | `PITWALL_CONTEXT` | as `--context` | |
//! | the current context | the context's | the context's |
//! | nothing | this machine's | `admin.token` |
//!
//! A token that the environment gives goes before all of these. `admin.token` never goes to another machine.

use super::{Contexts, LOCAL, LOCAL_SERVER, Secret};
use crate::failure::Failure;

/// What was typed, and what the environment says.
#[derive(Debug, Default, Clone)]
pub(crate) struct Given {
    pub(crate) url: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) env_url: Option<String>,
    pub(crate) env_context: Option<String>,
}

/// Where the token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    Known(Secret),
    /// In the file `admin.token` of the state directory.
    Admin,
    /// Nobody has signed in.
    Missing,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The context, where there is one for the server.
    pub(crate) context: Option<String>,
    pub(crate) server: String,
    pub(crate) token: Token,
    pub(crate) insecure_http: bool,
}

/// Chooses.
///
/// # Errors
/// A context that is named is not there.
pub(crate) fn choose(given: &Given, contexts: &Contexts) -> Result<Choice, Failure> {
    let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(url) = named(&given.url) {
        return Ok(by_server(url, contexts));
    }
    if let Some(name) = named(&given.context) {
        return by_name(name, contexts);
    }
    if let Some(url) = named(&given.env_url) {
        return Ok(by_server(url, contexts));
    }
    let name = named(&given.env_context).or_else(|| contexts.current().map(str::to_owned));
    by_name(name.unwrap_or_else(|| LOCAL.to_owned()), contexts)
}

fn by_name(name: String, contexts: &Contexts) -> Result<Choice, Failure> {
    let Some(context) = contexts.get(&name) else {
        return match name == LOCAL {
            true => Ok(Choice {
                context: Some(name),
                server: LOCAL_SERVER.to_owned(),
                token: Token::Admin,
                insecure_http: false,
            }),
            false => Err(super::ContextError::Unknown { name }.into()),
        };
    };
    Ok(Choice {
        context: Some(name),
        server: context.server.clone(),
        token: context.token.clone().map_or(Token::Missing, Token::Known),
        insecure_http: context.insecure_http,
    })
}

fn by_server(server: String, contexts: &Contexts) -> Choice {
    let known = contexts.of_server(&server);
    let token = match known.and_then(|(_, context)| context.token.clone()) {
        Some(token) => Token::Known(token),
        None if api::is_this_machine(&server) => Token::Admin,
        None => Token::Missing,
    };
    Choice {
        context: known.map(|(name, _)| name.to_owned()),
        insecure_http: known.is_some_and(|(_, context)| context.insecure_http),
        server,
        token,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Context;
    use super::*;

    fn contexts(current: Option<&str>) -> Contexts {
        let mut contexts = Contexts::default();
        for (name, server, token) in [
            ("work", "https://work.example", Some("pwt_work")),
            ("lab", "http://lab.example:1", None),
        ] {
            let context = Context {
                server: server.to_owned(),
                token: token.map(|token| Secret::new(token.to_owned())),
                insecure_http: name == "lab",
            };
            contexts.put(name, context).unwrap();
        }
        if let Some(current) = current {
            contexts.make_current(current).unwrap();
        }
        contexts
    }

    #[test]
    fn the_nearest_word_counts_and_a_token_goes_only_where_it_belongs() {
        let work = || Token::Known(Secret::new("pwt_work".to_owned()));
        let box_ = "http://127.0.0.1:7480";
        // url, context, the environment's two, current → server, token
        for (words, current, server, token) in [
            (["", "", "", ""], None, box_, Token::Admin),
            (["", "", "", ""], Some("work"), "https://work.example", work()),
            (["", "local", "", ""], Some("work"), box_, Token::Admin),
            (["", "", "", "local"], Some("work"), box_, Token::Admin),
            (
                ["", "work", "http://[::1]:2", ""],
                None,
                "https://work.example",
                work(),
            ),
            (
                ["", "", "http://[::1]:2", "work"],
                None,
                "http://[::1]:2",
                Token::Admin,
            ),
            (
                ["https://work.example/", "lab", "", ""],
                None,
                "https://work.example/",
                work(),
            ),
            (
                ["https://other.example", "", "", "work"],
                None,
                "https://other.example",
                Token::Missing,
            ),
            (
                ["http://lab.example:1", "", "", ""],
                None,
                "http://lab.example:1",
                Token::Missing,
            ),
        ] {
            let [url, context, env_url, env_context] = words.map(|word| Some(word.to_owned()));
            let given = Given {
                url,
                context,
                env_url,
                env_context,
            };
            let choice = choose(&given, &contexts(current)).unwrap();
            assert_eq!(
                (choice.server.as_str(), choice.token),
                (server, token),
                "{words:?} {current:?}"
            );
            assert_eq!(choice.insecure_http, server.contains("lab"), "{words:?}");
        }
        let given = Given {
            context: Some("absent".to_owned()),
            ..Given::default()
        };
        assert!(choose(&given, &contexts(None)).is_err());
    }
}
