//! Our own pages as HTML: headings, paragraphs, bold, code and links, which is all they use.

/// A page. What it does not know stands there as it was written.
pub(crate) fn html(markdown: &str) -> String {
    let mut page = String::from(HEAD);
    for block in markdown.split("\n\n") {
        let block = block.trim();
        if block.is_empty() {
            continue;
        }
        let level = block.bytes().take_while(|&b| b == b'#').count();
        match (level, block.get(level..)) {
            (1..=3, Some(text)) => {
                let text = inline(text.trim());
                page.push_str(&format!("<h{level} id=\"{text}\">{text}</h{level}>\n"));
            }
            _ => page.push_str(&format!("<p>{}</p>\n", inline(block))),
        }
    }
    page
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<title>Pitwall: problems</title>\n\
    <style>body{max-width:45em;margin:2em auto;padding:0 1em;font:1em/1.5 sans-serif}code{background:#8882}</style>\n";

/// Text with its marks: each opens and closes in turn.
fn inline(text: &str) -> String {
    let (mut html, mut rest) = (String::new(), text);
    while let Some((before, mark, behind)) = next_mark(rest) {
        html.push_str(&escaped(before));
        let Some((marked, after)) = mark.taken(behind) else {
            html.push_str(mark.opening());
            rest = behind;
            continue;
        };
        html.push_str(&marked);
        rest = after;
    }
    html.push_str(&escaped(rest));
    html
}

#[derive(Clone, Copy)]
enum Mark {
    Bold,
    Code,
    Link,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Bold, Self::Code, Self::Link];

    const fn opening(self) -> &'static str {
        match self {
            Self::Bold => "**",
            Self::Code => "`",
            Self::Link => "[",
        }
    }

    /// What stands between this mark and its end, as HTML, and what follows.
    fn taken(self, behind: &str) -> Option<(String, &str)> {
        match self {
            Self::Bold => {
                let (text, after) = behind.split_once("**")?;
                Some((format!("<strong>{}</strong>", inline(text)), after))
            }
            Self::Code => {
                let (text, after) = behind.split_once('`')?;
                Some((format!("<code>{}</code>", escaped(text)), after))
            }
            Self::Link => {
                let (text, behind) = behind.split_once("](")?;
                let (target, after) = behind.split_once(')')?;
                // Files beside ours are not served; a section is a page of its own or stands in the same one.
                match target.strip_prefix('#') {
                    Some(code) => Some((
                        format!("<a href=\"/v1/problems/{code}\">{}</a>", inline(text)),
                        after,
                    )),
                    None => Some((inline(text), after)),
                }
            }
        }
    }
}

/// The first mark: what stands before it, which it is, and what stands behind it.
fn next_mark(text: &str) -> Option<(&str, Mark, &str)> {
    let first = |mark: Mark| text.find(mark.opening()).map(|at| (at, mark));
    let (at, mark) = Mark::ALL
        .into_iter()
        .filter_map(first)
        .min_by_key(|(at, _)| *at)?;
    Some((text.get(..at)?, mark, text.get(at + mark.opening().len()..)?))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_html() {
        let page = html("# A: b\n\nWhat **is** `a<b`\n& [c](#d), [e](f.md), 2*3, `open\n");
        let body = page.split_once("</style>\n").unwrap().1;
        assert_eq!(
            body,
            "<h1 id=\"A: b\">A: b</h1>\n<p>What <strong>is</strong> <code>a&lt;b</code>\n&amp; \
             <a href=\"/v1/problems/d\">c</a>, e, 2*3, `open</p>\n"
        );
    }
}
