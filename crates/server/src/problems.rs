//! `/v1/problems`: the sections of `docs/problems.md`, which is part of the program.
//!
//! Programs get JSON; a browser, which asks for `text/html`, gets a plain page, and whoever asks for it the Markdown.

use api::problems::{ProblemPage, ProblemPageList};
use api::{ProblemCode, code_row};
use axum::Json;
use axum::extract::Path;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use model::Problem;

use crate::markdown;
use crate::refusal::Refusal;

const PAGE: &str = include_str!("../../../docs/problems.md");

/// What a section begins with, behind a line's end.
const SECTION: &str = "\n## ";

pub(crate) async fn list(headers: HeaderMap) -> Response {
    let items = ProblemCode::ALL.iter().map(|&code| page(code)).collect();
    answer(&headers, PAGE, Json(ProblemPageList { items, next: None }))
}

pub(crate) async fn get(Path(code): Path<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let known = ProblemCode::ALL.iter().find(|known| known.as_str() == code);
    let code = *known.ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, "there is no such problem code")
            .hint("/v1/problems lists them; a newer server may know more")
    })?;
    let page = page(code);
    let text = format!("# {code}: {}\n\n{}\n", page.title, page.text);
    Ok(answer(&headers, &text, Json(page)))
}

fn page(code: ProblemCode) -> ProblemPage {
    let row = code_row(code);
    ProblemPage {
        code: code.to_string(),
        title: row.title.to_owned(),
        status: row.status,
        exit_code: row.exit.code(),
        text: section(code.as_str()).unwrap_or_default().to_owned(),
    }
}

fn section(code: &str) -> Option<&'static str> {
    let mut sections = PAGE.split(SECTION).skip(1);
    let (_, text) =
        sections.find_map(|section| section.split_once('\n').filter(|(title, _)| *title == code))?;
    Some(text.trim())
}

/// How the answer is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Html,
    Markdown,
}

/// The first that the client names and we have (RFC 9110 section 12.5.1, without its weights); JSON for all others.
fn form(accept: &str) -> Form {
    let essence = |part: &str| {
        part.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    let known = accept.split(',').find_map(|part| match essence(part).as_str() {
        "application/json" | "application/*" | "*/*" => Some(Form::Json),
        "text/html" | "text/*" => Some(Form::Html),
        "text/markdown" | "text/plain" => Some(Form::Markdown),
        _ => None,
    });
    known.unwrap_or(Form::Json)
}

fn answer(headers: &HeaderMap, markdown: &str, json: impl IntoResponse) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let body = match form(accept.unwrap_or_default()) {
        Form::Json => json.into_response(),
        Form::Html => Html(markdown::html(markdown)).into_response(),
        Form::Markdown => (
            [(CONTENT_TYPE, "text/markdown; charset=utf-8")],
            markdown.to_owned(),
        )
            .into_response(),
    };
    ([(VARY, "Accept")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_section_and_each_section_a_code() {
        let sections: Vec<_> = PAGE
            .split(SECTION)
            .skip(1)
            .filter_map(|section| section.lines().next())
            .collect();
        let codes: Vec<_> = ProblemCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(sections, codes, "docs/problems.md against the list in model");
    }

    #[test]
    fn each_section_says_why_it_comes_and_what_to_do() {
        for &code in ProblemCode::ALL {
            let text = page(code).text;
            for part in ["**Why it comes.** ", "**What to do.** "] {
                assert!(text.contains(part), "{code} lacks {part}");
            }
            assert!(!text.starts_with("**"), "{code} does not say what it means");
        }
    }

    #[test]
    fn the_form_follows_what_is_accepted() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, expected) in [
            ("", Form::Json),
            ("*/*", Form::Json),
            ("application/json", Form::Json),
            (browser, Form::Html),
            ("text/markdown", Form::Markdown),
            ("image/png, TEXT/HTML;q=0.1", Form::Html),
            ("image/png", Form::Json),
        ] {
            assert_eq!(form(accept), expected, "{accept}");
        }
    }
}
