//! Removes keys from texts of the service before they are shown.

/// The bytes of a response that an excerpt is made of.
const MAX_INPUT_BYTES: usize = 8 * 1024;
/// The bytes of an excerpt, give or take one character.
const MAX_EXCERPT_BYTES: usize = 1024;
/// A shorter key stands in ordinary words too: removing it would leave no text to read.
const MIN_KEY_CHARS: usize = 4;

/// Returns the beginning of a response, fit to be shown: with `***` in place of the `keys` of four
/// characters or more, plain or escaped, and without control characters other than line breaks and
/// tabs.
///
/// If the response is not `whole`, its end may cut a key: the key's beginning is redacted too.
pub(crate) fn redacted_excerpt(bytes: &[u8], whole: bool, keys: &[&str]) -> String {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_INPUT_BYTES)]);
    let cut = !whole || bytes.len() > MAX_INPUT_BYTES;
    let is_long = |key: &&&str| key.chars().count() >= MIN_KEY_CHARS;
    let keys: Vec<_> = keys.iter().filter(is_long).collect();
    let mut shown = String::new();
    let mut rest = &*text;
    while let Some(first) = rest.chars().next() {
        if shown.len() >= MAX_EXCERPT_BYTES {
            shown.push('…');
            break;
        }
        if let Some(length) = keys.iter().find_map(|key| match_key(rest, key, cut)) {
            shown.push_str("***");
            rest = &rest[length..];
            continue;
        }
        let visible = !first.is_control() || first == '\n' || first == '\t';
        shown.push(if visible { first } else { char::REPLACEMENT_CHARACTER });
        rest = &rest[first.len_utf8()..];
    }
    shown
}

/// Returns the same on one line.
pub(crate) fn redacted_line(text: &str, keys: &[&str]) -> String {
    redacted_excerpt(text.as_bytes(), true, keys).replace(['\n', '\t'], " ").trim().to_owned()
}

/// Returns the length of `key` at the start of `text`, each character plain or escaped as in JSON,
/// HTML or a URL. If the text was cut, the beginning of the key at its end counts.
fn match_key(text: &str, key: &str, cut: bool) -> Option<usize> {
    // The positions at which the text may continue: a % may be itself or begin an escape.
    let mut ends = vec![0];
    for wanted in key.chars() {
        if cut && ends.contains(&text.len()) {
            break;
        }
        let reads = |at: usize| spellings(&text[at..]).map(move |(c, length)| (c, at + length));
        ends =
            ends.into_iter().flat_map(reads).filter(|(c, _)| *c == wanted).map(|r| r.1).collect();
        ends.dedup();
    }
    ends.into_iter().max().filter(|end| *end > 0)
}

/// Returns the character at the start of `text` with its length, for each way to read it.
fn spellings(text: &str) -> impl Iterator<Item = (char, usize)> {
    let number = |from: usize, to: usize, radix: u32| {
        let character = char::from_u32(u32::from_str_radix(text.get(from..to)?, radix).ok()?)?;
        Some((character, to))
    };
    let entity = || {
        let end = text.get(..10).unwrap_or(text).find(';')?;
        let character = match &text[..end] {
            "&amp" => '&',
            "&lt" => '<',
            "&gt" => '>',
            "&quot" => '"',
            "&apos" => '\'',
            name if name.starts_with("&#x") => number(3, end, 16)?.0,
            name if name.starts_with("&#") => number(2, end, 10)?.0,
            _ => return None,
        };
        Some((character, end + 1))
    };
    let mut characters = text.chars();
    let first = characters.next();
    let escaped = match first {
        Some('\\') if text[1..].starts_with('u') => number(2, 6, 16),
        Some('\\') => characters.next().map(|c| (c, 1 + c.len_utf8())),
        Some('%') => number(1, 3, 16),
        Some('&') => entity(),
        _ => None,
    };
    first.map(|c| (c, c.len_utf8())).into_iter().chain(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Ypb/N+z&<=";

    #[test]
    fn keys_are_redacted_plain_or_escaped() {
        for spelling in [
            "Ypb/N+z&<=",
            "Ypb\\/N\\u002bz&<=",
            "Ypb%2FN%2Bz%26%3C%3D",
            "Ypb/N&#43;z&amp;&lt;=",
            "Ypb&#x2F;N+z&<&#x3d;",
        ] {
            let body = format!("bad key {spelling} given");
            assert_eq!(
                redacted_excerpt(body.as_bytes(), true, &[KEY]),
                "bad key *** given",
                "{spelling}"
            );
        }
        for other in ["Ypb/N+z is another", "not Y"] {
            assert_eq!(redacted_excerpt(other.as_bytes(), true, &[KEY]), other);
        }
    }

    #[test]
    fn a_text_is_left_alone_where_the_key_is_too_short_to_be_one() {
        let body = "the key 123 is not known";
        for key in ["", "k", "is", "123", "ñáé"] {
            assert_eq!(redacted_line(body, &[key]), body, "{key:?}");
            assert_eq!(redacted_excerpt(body.as_bytes(), false, &[key]), body, "{key:?}");
        }
        assert_eq!(redacted_line("the key 1234 is", &["k", "1234"]), "the key *** is");
        assert_eq!(redacted_line("the key ñáéí is", &["ñáéí"]), "the key *** is");
        assert_eq!(redacted_excerpt(b"the key 12", false, &["1234"]), "the key ***");
    }

    #[test]
    fn a_key_cut_by_the_end_of_what_is_looked_at_does_not_show() {
        let body = [KEY.repeat(MAX_INPUT_BYTES / KEY.len()).as_bytes(), KEY.as_bytes()].concat();
        let shown = redacted_excerpt(&body, true, &[KEY]);
        assert!(!shown.contains("Yp"), "{shown}");
    }

    #[test]
    fn an_excerpt_is_short_and_harmless() {
        assert_eq!(
            redacted_excerpt(b"\xEF\xBB\xBF<html>\r\n\x1b[31m\xff", true, &[]),
            "<html>\u{fffd}\n\u{fffd}[31m\u{fffd}"
        );
        let long = redacted_excerpt("é".repeat(100_000).as_bytes(), true, &[]);
        assert!(long.len() < MAX_EXCERPT_BYTES + 8 && long.ends_with('…'));
        assert_eq!(redacted_line(" a\nb\t\u{0}c ", &[]), "a b \u{fffd}c");
    }
}
