//! A headless Chromium with a profile of its own.

use std::{
    env, fs,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Names that the browser's program may have.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser, ended when dropped.
pub struct Chromium {
    process: Child,
    place: TempDir,
}

impl Chromium {
    /// Opens an address; with a software WebGPU, since a machine that tests may have no GPU, or without any.
    pub fn open(address: &str, gpu: bool) -> Self {
        let flags: &[&str] = if gpu { &["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"] } else { &[] };
        let place = TempDir::new().expect("a temporary folder");
        let said = fs::File::create(place.path().join("said")).expect("a temporary file");
        let process = Command::new(program())
            // The page is our own, and root, as in many containers, has no sandbox.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(flags)
            // Requests of a page to any other machine fail at once, and are reported.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", place.path().join("profile").display()))
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .expect("Chromium was found and can be run");
        Self { process, place }
    }

    /// The text that it wrote to its terminal.
    pub fn said(&self) -> String {
        format!("Chromium said:\n{}", fs::read_to_string(self.place.path().join("said")).unwrap_or_default())
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The first that is there.
fn program() -> String {
    if let Ok(named) = env::var("LORALAB_CHROMIUM") {
        return named;
    }
    let answers = |name: &&str| {
        let asked = Command::new(name)
            .arg("--version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    let found = NAMES.into_iter().find(answers).unwrap_or_else(|| {
        panic!(
            "the page is tested in Chromium, and none of {} can be run: install it (`apt-get install chromium` on Debian), or give the \
             path of a Chrome in LORALAB_CHROMIUM",
            NAMES.join(", ")
        )
    });
    found.to_owned()
}
