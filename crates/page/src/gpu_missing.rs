//! The reasons why a browser has no GPU.

/// A sentence for the person whose browser, by what it calls itself, shows no real GPU; or none at all, where any would have done, since it was `asked` for.
pub fn why_no_gpu(user_agent: &str, asked: bool) -> String {
    let has = |name: &str| user_agent.contains(name);
    let remedy = if has("Firefox") {
        "Firefox has WebGPU on Windows since version 141 and on Macs with Apple's chips since 145; on Linux it is in Nightly only."
    } else if has("Chrome") || has("Chromium") || has("Edg/") {
        "This browser could: on Linux start it with --enable-features=Vulkan --enable-unsafe-webgpu, elsewhere switch on hardware acceleration in its settings."
    } else if has("Safari") {
        "Safari has WebGPU since version 26."
    } else {
        "Chrome, Edge and Safari 26 have it."
    };
    let shown = if asked {
        "A GPU is asked for, but this browser shows the page none"
    } else {
        "This browser shows the page no real GPU"
    };
    format!(
        "{shown} by WebGPU, so the training runs on one thread of your processor, in WebAssembly: slower, and otherwise complete. {remedy}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_browser_is_told_what_helps_it() {
        for (agent, said) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Nightly"),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
                "--enable",
            ),
            (
                "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
                "version 26",
            ),
            ("curl/8", "Chrome, Edge"),
        ] {
            assert!(why_no_gpu(agent, false).contains(said) && why_no_gpu(agent, true).contains(said), "{agent}");
        }
    }
}
