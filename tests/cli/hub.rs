//! Models fetched from a hub, a server of this test: whole, broken off and gone on with, refused.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{
    Outcome, Place,
    checkpoints::{file, nano},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one model, `org/nano`. It notes what it is asked for, and breaks off the first answers with weights.
struct Hub {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// The files that the server gives, and the number of times that it breaks off in the middle of the weights.
struct Given {
    files: BTreeMap<&'static str, Vec<u8>>,
    /// SHA-256 of the weights as the server says it.
    hash: String,
    breaks: usize,
}

impl Hub {
    fn of(given: Given) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (notes, given) = (asked.clone(), Arc::new(Mutex::new(given)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (notes, given) = (notes.clone(), given.clone());
                thread::spawn(move || answer(stream, &notes, &given));
            }
        });
        Self { endpoint, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread panics"))
    }
}

/// Answers one request, then closes.
fn answer(mut stream: TcpStream, notes: &Mutex<Vec<String>>, given: &Mutex<Given>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
    let value = |name: &str| headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    let range = value("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let note = format!("{method} {path} {range:?} {}", value("authorization").unwrap_or_default());
    notes.lock().expect("no thread panics").push(note.trim_end().to_owned());
    let mut given = given.lock().expect("no thread panics");
    let mut say = |status: &str, headers: &str, body: &[u8], length: usize| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    if path == "/api/models/org/nano/revision/main" {
        let files: Vec<String> = given.files.keys().map(|name| format!("{{\"rfilename\": \"{name}\"}}")).collect();
        let body = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}", files.join(", "));
        return say("200 OK", "", body.as_bytes(), body.len());
    }
    if path == "/api/models/org/gated/revision/main" {
        return say("401 Unauthorized", "", b"", 0);
    }
    if let Some(name) = path.strip_prefix(&format!("/org/nano/resolve/{COMMIT}/")) {
        let Some(body) = given.files.get(name) else { return say("404 Not Found", "", b"", 0) };
        // Large files are elsewhere.
        if name.ends_with(".safetensors") {
            let place = format!(
                "Location: /cdn/{name}\r\nX-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\n",
                given.hash,
                body.len()
            );
            return say("302 Found", &place, b"", 0);
        }
        let body = if method == "HEAD" { (&[][..], body.len()) } else { (&body[..], body.len()) };
        return say("200 OK", &format!("ETag: W/\"abc{}\"\r\n", body.1), body.0, body.1);
    }
    if let Some(name) = path.strip_prefix("/cdn/") {
        let body = given.files[name].clone();
        let from = range.unwrap_or(0);
        let rest = &body[from..];
        let sent = if given.breaks > 0 { &rest[..rest.len() / 2] } else { rest };
        given.breaks = given.breaks.saturating_sub(1);
        let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
        return say(status, "", sent, rest.len());
    }
    say("404 Not Found", "", b"", 0);
}

/// Files of a model, with others that are not fetched, and the hash of its weights.
fn model(breaks: usize) -> Given {
    let (tensors, config) = nano();
    let weights = file(&tensors);
    let hash = sha256(&weights);
    let files = [
        ("config.json", config.into_bytes()),
        ("model.safetensors", weights),
        ("pytorch_model.bin", b"not fetched".to_vec()),
        ("onnx/model.onnx", b"not fetched".to_vec()),
    ];
    Given { files: files.into(), hash, breaks }
}

/// By the tool of every Unix.
fn sha256(bytes: &[u8]) -> String {
    let place = Place::new();
    place.write("file", bytes);
    let said = std::process::Command::new("sha256sum").arg(place.path("file")).output().expect("sha256sum runs");
    String::from_utf8_lossy(&said.stdout).split_whitespace().next().expect("a hash").to_owned()
}

fn ask(place: &Place, hub: &Hub, model: &str) -> Outcome {
    let mut command = place.command(&["generate", "--model", model, "--prompt", "a", "--count", "2"]);
    let output = command
        .env_remove("HF_HUB_OFFLINE")
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", "secret")
        .env("NO_PROXY", "127.0.0.1")
        .output();
    let output = output.expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the binary writes UTF-8");
    Outcome { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

const STORED: &str = "cache/huggingface/hub/models--org--nano";

#[test]
fn a_model_is_fetched_once_and_goes_on_where_it_broke_off() {
    let (place, hub) = (Place::new(), Hub::of(model(2)));
    let first = ask(&place, &hub, "org/nano");
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("Fetching `org/nano` from http://127.0.0.1:"), "{}", first.stderr);
    let size = file(&nano().0).len();
    let asked = hub.asked();
    let of_weights: Vec<&str> =
        asked.iter().filter_map(|line| line.strip_prefix("GET /cdn/model.safetensors ")).collect();
    let half = size / 2;
    let rest = half + (size - half) / 2;
    // Elsewhere nobody is told the token.
    assert_eq!(of_weights, ["None".to_owned(), format!("Some({half})"), format!("Some({rest})")], "{asked:?}");
    assert!(
        asked.iter().any(|line| line.starts_with("GET /org/nano/") && line.ends_with("bearer secret")),
        "{asked:?}"
    );
    assert!(!asked.iter().any(|line| line.contains("pytorch") || line.contains("onnx")), "{asked:?}");
    // As huggingface_hub stores it.
    assert_eq!(place.read(&format!("{STORED}/refs/main")), COMMIT);
    let link = place.path(&format!("{STORED}/snapshots/{COMMIT}/model.safetensors"));
    let target = fs::read_link(&link).expect("a link");
    assert_eq!(target.to_string_lossy(), format!("../../blobs/{}", model(0).hash));
    assert!(fs::read(&link).expect("the weights") == file(&nano().0));
    let names = fs::read_dir(place.path(&format!("{STORED}/blobs"))).expect("a folder");
    assert_eq!(names.count(), 2, "no part and no lock is left");
    // It is there now.
    let again = ask(&place, &hub, "org/nano");
    assert_eq!((again.code, again.stdout, hub.asked()), (0, first.stdout, vec![]));
}

#[test]
fn a_part_of_an_earlier_process_is_gone_on_with() {
    let (place, hub) = (Place::new(), Hub::of(model(0)));
    let (blobs, weights) = (format!("{STORED}/blobs"), file(&nano().0));
    fs::create_dir_all(place.path(&blobs)).expect("a folder");
    place.write(&format!("{blobs}/{}.incomplete", model(0).hash), &weights[..1000]);
    let outcome = ask(&place, &hub, "org/nano");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(hub.asked().contains(&"GET /cdn/model.safetensors Some(1000)".to_owned()));
}

#[test]
fn what_the_hub_does_not_give_is_a_sentence() {
    let place = Place::new();
    let hub = Hub::of(Given { hash: "ab".repeat(32), ..model(0) });
    let without = Hub::of(Given { files: [("config.json", b"{}".to_vec())].into(), ..model(0) });
    let nobody = Hub { endpoint: "http://127.0.0.1:9".to_owned(), asked: Arc::default() };
    for (hub, name, words) in [
        (&hub, "org/nano", "its bytes are not those of the hub (SHA-256 "),
        (&hub, "org/other", "it has no model `org/other` with the revision `main`; check the name"),
        (&hub, "org/gated", "set HF_TOKEN to a token of yours"),
        (&hub, "org/nano@v2", "it has no model `org/nano` with the revision `v2`"),
        (&without, "org/nano", "it has no weights in safetensors"),
        (&nobody, "org/nano", "cannot be reached"),
    ] {
        let outcome = ask(&place, hub, name);
        let said = &outcome.stderr;
        assert_eq!(outcome.code, 1, "{name}: {said}");
        assert!(said.contains(&format!("error: `{name}` cannot be fetched from {}", hub.endpoint)), "{name}: {said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{name}: no «{words}» in {said}");
        assert!(!place.path(&format!("{STORED}/refs")).exists(), "{name}: half a model looks whole");
    }
    let offline = place.run(&["generate", "--model", "org/nano", "--prompt", "a"]);
    assert!(offline.stderr.contains("`hf download org/nano --revision main`"), "{}", offline.stderr);
}
