//! Names what came in place of the service's response, so that the reader knows where to look.

use std::str;

use serde::de::IgnoredAny;

/// The bytes in which the first tags of a page are looked for.
const MAX_LOOKED_AT: usize = 2048;

/// Describes a body that is not a JSON array. It must not be blank, nor begin with a byte-order mark.
pub(crate) fn describe(body: &[u8]) -> &'static str {
    let json = serde_json::from_slice::<IgnoredAny>(body);
    let start = &body[..body.len().min(MAX_LOOKED_AT)];
    let start = String::from_utf8_lossy(start).trim_start().to_ascii_lowercase();
    let has = |texts: &[&str]| texts.iter().any(|text| start.contains(text));
    match start.as_bytes().first() {
        Some(b'<') if has(&["<!doctype html", "<html", "<head>", "<body"]) => {
            "it is an HTML page, not the service: look for a firewall, a proxy or a sign-in page on \
             the way"
        }
        Some(b'<') if has(&[":envelope", "<envelope", ":fault", "<fault"]) => {
            "it is a SOAP message, not JSON: check base_url"
        }
        Some(b'<') if has(&["<?xml", "</", "/>"]) => "it is XML, not JSON: check base_url",
        Some(b'{') if json.is_ok() => {
            "it is a JSON object, not an array: a gateway, or another service, responded in its place"
        }
        _ if json.is_ok() => "it is not a JSON array",
        Some(b'[' | b'{') if json.as_ref().is_err_and(|error| error.is_eof()) => {
            "it is JSON that is cut short"
        }
        Some(b'[' | b'{') => "it is not valid JSON",
        _ if str::from_utf8(body).is_ok() && !body.contains(&0) => {
            "it is plain text, not JSON: look for a proxy or a gateway on the way"
        }
        _ => "it is binary data, not JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_body_is_named() {
        for (body, named) in [
            ("<!DOCTYPE html><p>Rejected", "an HTML page, not the service"),
            ("\r\n <html><head>", "an HTML page, not the service"),
            ("<!-- x --><HTML lang=en>", "an HTML page, not the service"),
            ("<?xml version='1.0'?><html xmlns='x'>", "an HTML page, not the service"),
            ("<s:Envelope xmlns:s='x'><s:Body>", "a SOAP message"),
            ("<Fault xmlns='http://schemas.microsoft.com/ws/2005/05/envelope/none'>", "a SOAP"),
            ("<?xml version='1.0'?><ArrayOfThing/>", "it is XML"),
            ("<error>no</error>", "it is XML"),
            ("<?xml version='1.0'?><r><header/></r>", "it is XML"),
            ("{\"message\": \"Forbidden\"}", "a JSON object"),
            ("{}", "a JSON object"),
            ("\"ok\"", "not a JSON array"),
            ("null", "not a JSON array"),
            ("5", "not a JSON array"),
            ("[{\"_verify\": tru", "cut short"),
            ("[{\"_verify\": true", "cut short"),
            ("[{\"_verify\": yes}]", "not valid JSON"),
            ("{message: 1}", "not valid JSON"),
            ("upstream connect error", "plain text"),
            ("< 5 items", "plain text"),
            ("\u{1}\0\u{2}", "binary"),
        ] {
            let shown = describe(body.as_bytes());
            assert!(shown.contains(named), "{body}: {shown}");
        }
        assert!(describe(b"<\0h\0t\0m\0l\0").contains("binary"));
    }
}
