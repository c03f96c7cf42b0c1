//! Elements of `index.html`, and the functions of `web/browser.js`.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, closure::Closure, convert::FromWasmAbi};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Document, Element, HtmlButtonElement, HtmlElement, HtmlInputElement, Window};

pub fn window() -> Window {
    web_sys::window().expect("the page runs in a window")
}

pub fn document() -> Document {
    window().document().expect("a window has a document")
}

/// Seconds since some moment.
pub fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now() / 1000.0)
}

/// An element that is there.
pub fn element<T: JsCast>(id: &str) -> T {
    find(id).unwrap_or_else(|| panic!("index.html has no element `{id}`"))
}

/// An element that may be there.
pub fn find<T: JsCast>(id: &str) -> Option<T> {
    document().get_element_by_id(id).map(JsCast::unchecked_into)
}

/// Every element that a selector selects.
pub fn all(selector: &str) -> Vec<Element> {
    let list = document().query_selector_all(selector).expect("the selectors here are right");
    (0..list.length()).filter_map(|place| list.get(place)).map(JsCast::unchecked_into).collect()
}

/// Has the document hear events of a kind, from wherever they come.
pub fn on<T: JsCast + FromWasmAbi + 'static>(event: &str, act: impl FnMut(T) + 'static) {
    let listener = Closure::<dyn FnMut(T)>::new(act);
    let added = document().add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
    added.expect("a document takes listeners");
    // It listens for as long as the page is open.
    listener.forget();
}

/// Does something a while later.
pub fn after(milliseconds: i32, act: impl FnOnce() + 'static) {
    let act = Closure::once_into_js(act);
    // Without a timer there is no later.
    let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(act.unchecked_ref(), milliseconds);
}

pub fn write(id: &str, text: &str) {
    element::<Element>(id).set_text_content(Some(text));
}

/// Writes a text that is read out when it changes, but not again when it is the same.
pub fn renew(id: &str, text: &str) {
    if element::<Element>(id).text_content().as_deref() != Some(text) {
        write(id, text);
    }
}

pub fn fill(id: &str, html: &str) {
    element::<Element>(id).set_inner_html(html);
}

/// Writes what screen readers read out.
pub fn say(text: &str) {
    write("status", text);
}

pub fn hide(id: &str, hidden: bool) {
    element::<HtmlElement>(id).set_hidden(hidden);
}

pub fn enable(id: &str, enabled: bool) {
    element::<HtmlButtonElement>(id).set_disabled(!enabled);
}

pub fn value(id: &str) -> String {
    element::<HtmlInputElement>(id).value()
}

/// True if a part of an element is within the window.
pub fn is_in_view(id: &str) -> bool {
    let frame = element::<Element>(id).get_bounding_client_rect();
    let height = window().inner_height().ok().and_then(|height| height.as_f64()).unwrap_or(f64::INFINITY);
    frame.height() > 0.0 && frame.bottom() > 0.0 && frame.top() < height
}

/// Gives the focus to an element, if the page may.
pub fn focus(element: &Element) {
    // A page in the background gets no focus, and needs none.
    let _ = element.unchecked_ref::<HtmlElement>().focus();
}

/// The device that was last chosen in this tab; none in a new one.
pub fn remembered_device() -> Option<String> {
    window().session_storage().ok()??.get_item("device").ok()?
}

/// Keeps the device that was chosen for as long as the tab is open: links, the address among them, do not say it.
pub fn remember_device(name: &str) {
    if let Ok(Some(storage)) = window().session_storage() {
        // If nothing can be kept, a reload goes back to auto.
        let _ = storage.set_item("device", name);
    }
}

/// Calls a function of `web/browser.js`.
pub fn call(name: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let functions = Reflect::get(&js_sys::global(), &JsValue::from_str("loralab"))?;
    let function: Function = Reflect::get(&functions, &JsValue::from_str(name))?.dyn_into()?;
    function.apply(&functions, &arguments.iter().cloned().collect::<Array>())
}

/// Calls one that takes its time.
pub async fn wait(name: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let promise: Promise = call(name, arguments)?.dyn_into()?;
    JsFuture::from(promise).await
}

/// An error of the browser's in words.
pub fn words(error: &JsValue) -> String {
    let message = Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "the browser does not say why".to_owned())
}
