//! Parameters in the query of a request.

use percent_encoding::percent_decode_str;

/// The value of a parameter, decoded; `None` if it is missing or no UTF-8. A plus stays a plus:
/// senders of base64 do not always encode it, and no value here has spaces.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    percent_decode_str(value).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_a_plus_is_kept() {
        let query = "a=1&echostr=x%2By%3D%3D+z&b=&bad=%ff&=c";
        let of = |name| parameter(query, name);
        assert_eq!(of("echostr").as_deref(), Some("x+y==+z"));
        assert_eq!(of("b").as_deref(), Some(""));
        assert_eq!((of("bad"), of("none")), (None, None));
    }
}
