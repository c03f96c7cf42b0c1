//! A headless Chromium that is told what to do over a pipe, in the words of the DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>): JSON messages, each ended by a zero byte.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::system;

/// Far more than what is waited for takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// The window that the page is looked at in, and the preferences of the person.
#[derive(Clone, Copy)]
pub struct Look {
    /// Of the window, in CSS pixels.
    pub width: u32,
    /// Of the window, in CSS pixels.
    pub height: u32,
    /// True if the person prefers dark.
    pub dark: bool,
    /// True if it is a phone.
    pub phone: bool,
}

/// A browser with one page, ended when dropped.
pub struct Chromium {
    process: Child,
    asked: ChildStdin,
    told: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    profile: std::path::PathBuf,
}

impl Chromium {
    /// Starts it, with some flags more.
    pub fn start(flags: &[&str]) -> Result<Chromium> {
        if !cfg!(unix) {
            bail!("the page is looked at on Linux or macOS, where a shell can hand pipes to a browser");
        }
        let program = system::chromium().with_context(system::without_chromium)?;
        let profile = env::temp_dir().join(format!("loralab-chromium-{}", std::process::id()));
        // The browser listens at file 3 and speaks at file 4, which only a shell can make of a child's input and output.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null"])
            .arg(&program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe"])
            .args(flags)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} can't be run", program.display()))?;
        let asked = process.stdin.take().context("the browser has no input")?;
        let told = BufReader::new(process.stdout.take().context("the browser has no output")?);
        Ok(Chromium { process, asked, told, session: None, number: 0, profile })
    }

    /// Opens an address.
    pub fn open(&mut self, address: &str) -> Result<()> {
        self.open_watched(address, "")
    }

    /// Opens an address whose page runs a script of ours before its own.
    pub fn open_watched(&mut self, address: &str, script: &str) -> Result<()> {
        let target = self.ask("Target.createTarget", &json!({ "url": "about:blank" }))?;
        let session = self.ask("Target.attachToTarget", &json!({ "targetId": target["targetId"], "flatten": true }))?;
        self.session = session["sessionId"].as_str().map(str::to_owned);
        self.ask("Page.enable", &json!({}))?;
        self.ask("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": script }))?;
        self.ask("Page.navigate", &json!({ "url": address }))?;
        Ok(())
    }

    /// Waits until an expression of JavaScript is true; `said` is one that says how far it is.
    pub fn wait_until(&mut self, holds: &str, said: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        // Before the page is there, what is asked of it fails.
        while self.evaluate(holds).ok() != Some(Value::Bool(true)) {
            if Instant::now() > end {
                bail!("the page came to no end; it says: {}", self.evaluate(said)?);
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The value of an expression of JavaScript.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let answer = self.ask("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }))?;
        match answer.get("exceptionDetails") {
            Some(details) => bail!("the page can't evaluate {expression}: {details}"),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Looks at the page in a window of a size and a colour scheme.
    pub fn look(&mut self, Look { width, height, dark, phone }: Look) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.ask("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        self.ask("Emulation.setEmulatedMedia", &json!({ "features": [scheme] }))?;
        // The page is laid out anew.
        thread::sleep(Duration::from_millis(500));
        Ok(())
    }

    /// A picture of the window, as PNG.
    pub fn picture(&mut self) -> Result<Vec<u8>> {
        let answer = self.ask("Page.captureScreenshot", &json!({ "format": "png" }))?;
        let text = answer["data"].as_str().context("the browser gave no picture")?;
        decoded(text).context("the browser's picture is no base64")
    }

    /// Asks something of the browser, and waits for its answer.
    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let gone = || format!("Chromium was gone when it was asked for {method}");
        self.asked.write_all(format!("{message}\0").as_bytes()).with_context(gone)?;
        loop {
            let mut bytes = Vec::new();
            self.told.read_until(0, &mut bytes)?;
            if bytes.pop() != Some(0) {
                bail!(gone());
            }
            let told: Value = serde_json::from_slice(&bytes).context("Chromium said what is no JSON")?;
            // Events come in between.
            if told["id"] == self.number {
                if let Some(error) = told.get("error") {
                    bail!("Chromium refuses {method}: {error}");
                }
                return Ok(told["result"].clone());
            }
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself; what it leaves in the folder for temporary files is the system's to clear.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// Bytes from base64 (RFC 4648 §4).
fn decoded(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for four in digits.chunks(4) {
        let mut bits = 0u32;
        for digit in four {
            bits = bits << 6 | ALPHABET.iter().position(|known| known == digit)? as u32;
        }
        bits <<= 6 * (4 - four.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_by_hand() {
        assert_eq!(super::decoded("AP8HAA==").as_deref(), Some(&[0, 255, 7, 0][..]));
        assert_eq!(super::decoded("TWFu").as_deref(), Some(&b"Man"[..]));
        assert_eq!(super::decoded("a*"), None);
    }
}
