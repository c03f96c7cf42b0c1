//! The page in the browser: what happens to it, and who hears of that.

mod dom;
mod draw;
mod edit;
mod load;
mod page;
mod resume;
mod show;
mod starts;
mod take;
mod texts;
mod worker;

use std::{cell::RefCell, panic};

use js_sys::{Array, Uint8Array};
use loralab_page::File;
use page::Page;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    BeforeUnloadEvent, DragEvent, Element, Event, FileList, HtmlElement, HtmlInputElement, HtmlTextAreaElement,
    MouseEvent,
};

thread_local! {
    static PAGE: RefCell<Option<Page>> = const { RefCell::new(None) };
}

/// Opens the page.
pub fn open() {
    panic::set_hook(Box::new(|fault| {
        dom::say(&format!("The page has a fault and can't go on; reload it. {fault}"));
    }));
    PAGE.set(Some(Page::open()));
    dom::on("submit", |event: Event| event.prevent_default());
    dom::on("click", |event: MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let pressed = target.and_then(|target| target.closest("[data-do]").ok().flatten());
        if let Some(pressed) = pressed {
            let data = |name: &str| pressed.unchecked_ref::<HtmlElement>().dataset().get(name).unwrap_or_default();
            with_page(|page| page.press(&data("do"), &data("name"), &data("rate")));
        }
    });
    dom::on("change", |event: Event| {
        let Some(target) = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) else { return };
        match target.id().as_str() {
            "own-base" => read(&target, |_, _| dom::say("That is no safetensors file; `loralab pretrain` makes one.")),
            "own-file" => read(&target, |page, files| page.take_text(files)),
            "open-files" | "open-folder" => read(&target, |page, files| page.open_results(&files)),
            id => with_page(|page| page.changed(id)),
        }
    });
    dom::on("input", |event: Event| {
        let text = event.target().and_then(|target| target.dyn_into::<HtmlTextAreaElement>().ok());
        if let Some(text) = text.filter(|text| text.id() == "own-text") {
            with_page(|page| page.type_text(&text.value()));
        }
    });
    dom::on("scroll", |_: Event| with_page(Page::draw_soon));
    dom::on("mousemove", |event: MouseEvent| {
        with_page(|page| page.point(f64::from(event.client_x()), f64::from(event.client_y())));
    });
    for kind in ["dragover", "drop"] {
        dom::on(kind, move |event: DragEvent| {
            event.prevent_default();
            if kind == "drop"
                && let Some(files) = event.data_transfer().and_then(|dropped| dropped.files())
            {
                read_files(files, Page::take_dropped);
            }
        });
    }
    let leaving = wasm_bindgen::closure::Closure::<dyn FnMut(BeforeUnloadEvent)>::new(|event: BeforeUnloadEvent| {
        if PAGE.with_borrow(|page| page.as_ref().is_some_and(Page::is_training)) {
            event.prevent_default();
            event.set_return_value("A training is under way.");
        }
    });
    dom::window().set_onbeforeunload(Some(leaving.as_ref().unchecked_ref()));
    leaving.forget();
    spawn_local(async {
        // Without a store, as in some private windows, nothing was kept.
        if let Ok(kept) = dom::wait("kept", &[]).await {
            with_page(|page| page.offer(&kept));
        }
    });
}

fn with_page(act: impl FnOnce(&mut Page)) {
    PAGE.with_borrow_mut(|page| page.as_mut().map(act));
}

/// Reads the files of a field, and forgets them there so that the same can be chosen again.
fn read(field: &HtmlElement, then: impl FnOnce(&mut Page, Vec<File>) + 'static) {
    let field: &HtmlInputElement = field.unchecked_ref();
    if let Some(files) = field.files() {
        let files = Array::from(&files);
        field.set_value("");
        spawn_local(files_read(files, then));
    }
}

fn read_files(files: FileList, then: impl FnOnce(&mut Page, Vec<File>) + 'static) {
    spawn_local(files_read(Array::from(&files), then));
}

async fn files_read(files: Array, then: impl FnOnce(&mut Page, Vec<File>) + 'static) {
    let read = dom::wait("read", &[files.into()]).await;
    with_page(|page| match read {
        Ok(pairs) => {
            let mut texts = Vec::new();
            for pair in Array::from(&pairs) {
                let pair = Array::from(&pair);
                let name = pair.get(0).as_string().unwrap_or_default();
                match (pair.get(1).as_string(), pair.get(1).dyn_into::<Uint8Array>()) {
                    (Some(text), _) => texts.push(File { name, text }),
                    (None, Ok(bytes)) if name.ends_with(".safetensors") => return page.take_base(name, bytes.to_vec()),
                    (None, _) => {}
                }
            }
            then(page, texts);
        }
        Err(error) => dom::say(&format!("The file can't be read: {}.", dom::words(&error))),
    });
}
