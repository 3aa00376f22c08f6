//! Removes keys from texts of the service before they are shown.

use std::str;

/// The bytes of a response that an excerpt is made of.
const MAX_INPUT_BYTES: usize = 8 * 1024;
/// The bytes of an excerpt, give or take one character.
const MAX_EXCERPT_BYTES: usize = 1024;
/// A shorter key stands in ordinary words too: removing it would leave no text to read.
const MIN_KEY_CHARS: usize = 4;
/// A key of many backslashes can be read in more ways than there is time for.
const MAX_READINGS: usize = 64;
/// The bytes of the longest escape: two of UTF-16 in JSON, or four of UTF-8 in a URL.
const MAX_ESCAPE_BYTES: usize = 12;

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
        // One key may be the beginning of the other.
        if let Some(length) = keys.iter().filter_map(|key| match_key(rest, key, cut)).max() {
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
        if cut && ends.iter().any(|end| *end > 0 && may_be_cut(&text[*end..])) {
            return Some(text.len());
        }
        if ends.len() > MAX_READINGS {
            return Some(text.len());
        }
        let reads = |at: usize| spellings(&text[at..]).map(move |(c, length)| (c, at + length));
        ends =
            ends.into_iter().flat_map(reads).filter(|(c, _)| *c == wanted).map(|r| r.1).collect();
        ends.dedup();
    }
    ends.into_iter().max().filter(|end| *end > 0)
}

/// Returns whether the next character is cut by the end of the text: it is missing, half of it is
/// there, or its escape is not complete.
fn may_be_cut(rest: &str) -> bool {
    let mut characters = rest.chars();
    let may_follow: fn(char) -> bool = match characters.next() {
        Some('\\') => |c| c.is_ascii_hexdigit() || c == 'u' || c == '\\',
        Some('%') => |c| c.is_ascii_hexdigit() || c == '%',
        Some('&') => |c| c.is_ascii_alphanumeric() || c == '#',
        first => return matches!(first, None | Some('\u{FFFD}')) && characters.next().is_none(),
    };
    let may_go_on = rest.len() < MAX_ESCAPE_BYTES && characters.all(may_follow);
    may_go_on && spellings(rest).nth(1).is_none()
}

/// Returns the character at the start of `text` with its length, for each way to read it: first as
/// it stands.
fn spellings(text: &str) -> impl Iterator<Item = (char, usize)> {
    let mut characters = text.chars();
    let first = characters.next();
    let escaped = match first {
        Some('\\') if text[1..].starts_with('u') => utf16_escape(text),
        Some('\\') => characters.next().map(|c| (c, 1 + c.len_utf8())),
        Some('%') => url_escape(text),
        Some('+') => Some((' ', 1)), // in the query of a URL
        Some('&') => entity(text),
        _ => None,
    };
    first.map(|c| (c, c.len_utf8())).into_iter().chain(escaped)
}

/// Reads `\uXXXX`, or two of them for a character beyond U+FFFF.
fn utf16_escape(text: &str) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let units = [unit(0)?].into_iter().chain(unit(6));
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 6 * character.len_utf16()))
}

/// Reads the bytes of a character in UTF-8, each as `%XX`.
fn url_escape(text: &str) -> Option<(char, usize)> {
    let byte = |escape: &[u8]| {
        let digits = str::from_utf8(escape.strip_prefix(b"%")?).ok()?;
        u8::from_str_radix(digits, 16).ok()
    };
    let bytes: Vec<_> = text.as_bytes().chunks_exact(3).take(4).map_while(byte).collect();
    let read = |length| str::from_utf8(bytes.get(..length)?).ok()?.chars().next();
    (1..=bytes.len()).find_map(|length| Some((read(length)?, 3 * length)))
}

/// Reads a numeric entity of HTML, or a named one that XML has too.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(MAX_ESCAPE_BYTES).position(|byte| byte == b';')?;
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let character = match &text[1..end] {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        name => match name.strip_prefix('#')? {
            digits if digits.starts_with(['x', 'X']) => number(&digits[1..], 16)?,
            digits => number(digits, 10)?,
        },
    };
    Some((character, end + 1))
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
    fn so_are_keys_with_other_letters() {
        for spelling in [
            "clé 🔑=",
            "cl%C3%A9+%F0%9F%94%91%3d",
            "cl\\u00e9 \\ud83d\\uDD11=",
            "cl&#233; &#x1F511;&#X3D;",
            "cl&#xE9;%20&#128273;=",
        ] {
            assert_eq!(
                redacted_line(&format!("<{spelling}>"), &["clé 🔑="]),
                "<***>",
                "{spelling}"
            );
        }
    }

    #[test]
    fn a_key_that_is_cut_within_an_escape_does_not_show() {
        for end in [
            "Ypb",
            "Ypb\\",
            "Ypb\\u",
            "Ypb\\u00",
            "Ypb%",
            "Ypb%2",
            "Ypb/N&",
            "Ypb/N&#4",
            "Ypb/N+z&am",
            "Ypb/N+z%26&l",
        ] {
            let body = format!("bad key {end}");
            assert_eq!(redacted_excerpt(body.as_bytes(), false, &[KEY]), "bad key ***", "{end}");
            assert_eq!(redacted_excerpt(body.as_bytes(), true, &[KEY]), body, "{end}");
        }
        let keys = ["abécd", "ab🔑cd"];
        for end in ["ab\u{e9}", "ab%C3", "ab%C3%", "ab\\ud83d", "ab\\ud83d\\u", "ab%F0%9F%94%9"] {
            assert_eq!(redacted_excerpt(end.as_bytes(), false, &keys), "***", "{end}");
        }
        assert_eq!(redacted_excerpt(b"ab\xc3", false, &keys), "***");
        assert_eq!(redacted_excerpt(b"100%", false, &[KEY]), "100%");
        for end in ["Y%off", "Y&nbsp;x", "Y\\n no"] {
            assert_eq!(redacted_excerpt(end.as_bytes(), false, &[KEY]), end);
        }
    }

    #[test]
    fn a_key_of_escapes_takes_no_time() {
        let (key, text) = ("\\".repeat(4000) + "x", "\\".repeat(8000));
        let began = std::time::Instant::now();
        assert!(redacted_line(&text, &[&key]).len() < 2 * MAX_EXCERPT_BYTES);
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
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
        assert_eq!(redacted_line("the key 123456 is", &["1234", "123456"]), "the key *** is");
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
