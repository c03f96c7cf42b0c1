//! The self-check of the GPU.

use crate::html::escaped;

/// The result of the check of the GPU, with a report to copy.
pub fn check(passed: bool, report: &str) -> String {
    let verdict = if passed {
        "Passed: every kernel of a training step is within the error bound that follows from what WebGPU promises."
    } else {
        "Failed: a kernel leaves its bound on this GPU. Train on the processor (device cpu), and please report this."
    };
    format!(
        "<p><b>{verdict}</b></p><pre tabindex=\"0\" aria-label=\"Report\">{}</pre>\
         <button type=\"button\" data-do=\"copy-report\">Copy the report</button>",
        escaped(report)
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_report_is_only_a_text() {
        assert!(super::check(false, "<b>").contains("&lt;b&gt;") && super::check(true, "").contains("Passed"));
    }
}
