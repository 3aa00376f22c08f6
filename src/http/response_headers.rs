//! The headers of a response that help to find a call in the logs of others.

use reqwest::header::HeaderMap;

use crate::redact::redacted_line;

const MAX_HEADERS: usize = 16;
const MAX_CHARACTERS: usize = 256;

/// Returns the name and the value of each header that helps, in the order in which they came, with
/// `***` in place of the `keys`.
pub(crate) fn for_support(headers: &HeaderMap, keys: &[&str]) -> Vec<(String, String)> {
    let found = headers.iter().filter(|(name, _)| is_for_support(name.as_str()));
    let shown = found.map(|(name, value)| {
        let value = redacted_line(&String::from_utf8_lossy(value.as_bytes()), keys);
        (name.to_string(), value.chars().take(MAX_CHARACTERS).collect())
    });
    shown.take(MAX_HEADERS).collect()
}

/// Each server, gateway and cloud has its own name for the ID of a request.
fn is_for_support(name: &str) -> bool {
    let letters: String = name.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let is_number = ["requestid", "correlationid", "traceid", "transactionid", "activityid"]
        .iter()
        .any(|it| letters.contains(it));
    is_number || ["date", "server", "via", "cf-ray", "traceparent", "x-azure-ref"].contains(&name)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn shown(name: &str, value: &[u8]) -> Option<String> {
        let name = HeaderName::try_from(name).unwrap();
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_bytes(value).unwrap())]);
        for_support(&headers, &["Ypb/N+z"]).pop().map(|(_, value)| value)
    }

    #[test]
    fn what_names_a_request_is_kept_and_nothing_else() {
        for name in ["Date", "Server", "X-Request-Id", "x-ms-request-id", "X-Correlation-ID"] {
            assert_eq!(shown(name, b"1"), Some("1".to_owned()), "{name}");
        }
        for name in ["X-Amzn-RequestId", "X-Amz-Cf-Id-Trace-Id", "CF-Ray", "traceparent", "Via"] {
            assert_eq!(shown(name, b"1"), Some("1".to_owned()), "{name}");
        }
        for name in ["Set-Cookie", "Content-Type", "Location", "Updated", "X-Date", "Authorization"]
        {
            assert_eq!(shown(name, b"1"), None, "{name}");
        }
    }

    #[test]
    fn a_value_is_one_short_line_without_keys() {
        assert_eq!(shown("server", b" IIS\t10 "), Some("IIS 10".to_owned()));
        assert_eq!(shown("server", b"a\xFFb"), Some("a\u{FFFD}b".to_owned()));
        assert_eq!(shown("x-request-id", b"for Ypb/N+z"), Some("for ***".to_owned()));
        assert_eq!(shown("server", &[b'a'; 9000]).map(|value| value.len()), Some(256));
        let many = (0..100).map(|n| HeaderName::try_from(format!("x-{n}-request-id")).unwrap());
        let many = many.map(|name| (name, HeaderValue::from_static("1")));
        assert_eq!(for_support(&HeaderMap::from_iter(many), &[]).len(), 16);
    }
}
