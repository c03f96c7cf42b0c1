//! Texts in HTML.

/// A text that may stand in an element or in a quoted attribute.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A rate, name or number that is not to be broken at its hyphens.
pub(crate) fn unbroken(text: &str) -> String {
    escaped(text).replace('-', "\u{2011}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(escaped("<a b=\"c\">&'"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
        assert_eq!(unbroken("init-a<"), "init\u{2011}a&lt;");
    }
}
