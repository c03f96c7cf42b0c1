//! Serves a folder, the harness, and takes in its report: as little of HTTP as that takes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use loralab_core::device::shaders;

/// A server on this machine only, at a port of its own, for as long as the tests run.
pub struct Server {
    origin: String,
    /// The reports that were posted to it.
    pub reports: Receiver<String>,
}

/// Files that are not served until the scene posts to `/arrive`: those whose names begin with a text, and end with what follows its star if it has one. The
/// empty text stands for none.
pub enum Withheld {
    /// Asked for, they are not found.
    Missing(String),
    /// Asked for, they are waited for.
    Late(String),
}

impl Withheld {
    fn has(&self, path: &str) -> bool {
        let (Self::Missing(names) | Self::Late(names)) = self;
        let (start, end) = names.split_once('*').unwrap_or((names, ""));
        !names.is_empty() && path.starts_with(start) && path.ends_with(end)
    }
}

/// The contents of the server.
struct Site {
    folder: PathBuf,
    harness: String,
    /// The text of every shader, as JSON.
    shaders: String,
    withheld: Withheld,
    /// True if those are served by now.
    arrived: AtomicBool,
    /// True if the network is gone: nothing is answered but a report.
    gone: AtomicBool,
}

impl Server {
    pub fn start(folder: PathBuf, harness: String, withheld: Withheld) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it was bound"));
        let (sender, reports) = mpsc::channel();
        let texts: BTreeMap<&str, String> = shaders().map(|shader| (shader.name, shader.source())).collect();
        let shaders = serde_json::to_string(&texts).expect("texts are JSON");
        let (arrived, gone) = (AtomicBool::new(false), AtomicBool::new(false));
        let site = Arc::new(Site { folder, harness, shaders, withheld, arrived, gone });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (site, sender) = (site.clone(), sender.clone());
                // A browser that goes away in the middle is no fault of the page's.
                thread::spawn(move || site.answer(stream, &sender).ok());
            }
        });
        Self { origin, reports }
    }

    pub fn origin(&self) -> String {
        self.origin.clone()
    }
}

impl Site {
    fn answer(&self, mut stream: TcpStream, sender: &Sender<String>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut request = String::new();
        reader.read_line(&mut request)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let path = request.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches('/');
        if path != "report" && self.gone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (status, kind, body) = match path {
            "gone" => {
                self.gone.store(true, Ordering::Relaxed);
                ("200 OK", "text/plain", vec![])
            }
            "arrive" => {
                self.arrived.store(true, Ordering::Relaxed);
                ("200 OK", "text/plain", vec![])
            }
            "axe.js" => ("200 OK", "text/javascript", axe()),
            "report" => {
                let mut body = vec![0; length];
                reader.read_exact(&mut body)?;
                // Nobody listens to a report that comes after the end of its test.
                let _ = sender.send(String::from_utf8_lossy(&body).into_owned());
                ("200 OK", "text/plain", vec![])
            }
            "harness" => ("200 OK", "text/html", self.harness.clone().into_bytes()),
            "shaders" => ("200 OK", "application/json", self.shaders.clone().into_bytes()),
            _ => self.file(path),
        };
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        stream.write_all(&body)
    }

    fn file(&self, path: &str) -> (&'static str, &'static str, Vec<u8>) {
        let kind = match Path::new(path).extension().and_then(|extension| extension.to_str()) {
            Some("html") => "text/html",
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("svg") => "image/svg+xml",
            Some("wasm") => "application/wasm",
            _ => "application/octet-stream",
        };
        let arrived = || self.arrived.load(Ordering::Relaxed) || !self.withheld.has(path);
        while matches!(self.withheld, Withheld::Late(_)) && !arrived() {
            thread::sleep(Duration::from_millis(20));
        }
        match fs::read(self.folder.join(path)) {
            Ok(body) if arrived() => ("200 OK", kind, body),
            _ => ("404 Not Found", "text/plain", vec![]),
        }
    }
}

/// The rules of accessibility that a machine can look for (<https://github.com/dequelabs/axe-core>).
fn axe() -> Vec<u8> {
    const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/npm/web-npm/node_modules/axe-core/axe.min.js");
    fs::read(AXE).unwrap_or_else(|_| {
        panic!("axe-core, which looks for what keeps people from using the page, is missing: `cargo xtask setup` fetches it from npm's registry, by npm")
    })
}
