//! The browser side of the worker: incoming and outgoing messages, a clock, and a file.

#[cfg(target_family = "wasm")]
mod browser {
    use std::{cell::RefCell, panic, rc::Rc, sync::Arc};

    use js_sys::{Array, ArrayBuffer, Promise, Uint8Array, global};
    use loralab_core::device::Machine;
    use loralab_core::device::webgpu::{Accelerator, Checks, GpuError, Options, Profile, Tiling, Wanted, adapters};
    use loralab_core::models::Base;
    use loralab_experiment::{Blob, Message, Request};
    use loralab_worker::{Control, Host, Wait, answer, ready};
    use wasm_bindgen::{JsCast, JsValue, closure::Closure};
    use wasm_bindgen_futures::{JsFuture, spawn_local};
    use web_sys::{DedicatedWorkerGlobalScope, MessageChannel, MessageEvent, Performance, Response};

    thread_local! {
        /// The base `tiny`, once it was fetched.
        static TINY: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
        /// The base that the user loaded, with its name.
        static OWN: RefCell<Option<(String, Base)>> = const { RefCell::new(None) };
    }

    /// The worker's own thread in the browser.
    struct Browser {
        scope: DedicatedWorkerGlobalScope,
        clock: Performance,
    }

    impl Browser {
        fn here() -> Browser {
            let scope: DedicatedWorkerGlobalScope = global().unchecked_into();
            let clock = scope.performance().expect("every worker has a clock");
            Browser { scope, clock }
        }
    }

    impl Host for Browser {
        fn seconds(&self) -> f64 {
            self.clock.now() / 1000.0
        }

        fn post(&self, message: Message) {
            let text = serde_json::to_string(&message).expect("messages hold nothing that JSON has no word for");
            let text = JsValue::from_str(&text);
            let Message::Snapshot { file, .. } = message else {
                return self.scope.post_message(&text).expect("a text can be posted");
            };
            // Transferred, not copied.
            let bytes = Uint8Array::from(&file.0[..]);
            let posted =
                self.scope.post_message_with_transfer(&Array::of2(&text, &bytes), &Array::of1(&bytes.buffer()));
            posted.expect("a text and bytes can be posted");
        }

        fn breathe(&self) -> Wait<()> {
            // A message to oneself arrives after those that wait; a timer would sleep for milliseconds.
            let channel = MessageChannel::new().expect("every worker has channels");
            let heard = Promise::new(&mut |resolve, _| channel.port1().set_onmessage(Some(&resolve)));
            channel.port2().post_message(&JsValue::NULL).expect("null can be posted");
            Box::pin(async move {
                // The promise is never rejected.
                let _ = JsFuture::from(heard).await;
                channel.port1().close();
            })
        }

        fn tiny(&self) -> Wait<Result<Vec<u8>, String>> {
            let scope = self.scope.clone();
            Box::pin(async move {
                if let Some(bytes) = TINY.with_borrow(Clone::clone) {
                    return Ok(bytes);
                }
                let bytes = fetched(&scope, "tiny.safetensors").await.map_err(|error| {
                    let why = error.as_string().unwrap_or_else(|| format!("{error:?}"));
                    format!("the base `tiny` can't be fetched ({why}); choose `nano`, or try again when the network is there")
                })?;
                TINY.replace(Some(bytes.clone()));
                Ok(bytes)
            })
        }

        fn store_base(&self, name: &str, base: Base) {
            OWN.replace(Some((name.to_owned(), base)));
        }

        fn stored_base(&self, name: &str) -> Option<Base> {
            OWN.with_borrow(|own| own.as_ref().filter(|(known, _)| known == name).map(|(_, base)| base.clone()))
        }
    }

    async fn fetched(scope: &DedicatedWorkerGlobalScope, name: &str) -> Result<Vec<u8>, JsValue> {
        let response: Response = JsFuture::from(scope.fetch_with_str(name)).await?.unchecked_into();
        if !response.ok() {
            return Err(JsValue::from_str(&format!("the server answers {}", response.status())));
        }
        let bytes: ArrayBuffer = JsFuture::from(response.array_buffer()?).await?.unchecked_into();
        Ok(Uint8Array::new(&bytes).to_vec())
    }

    /// Opens the device, and then handles messages.
    pub fn listen() {
        panic::set_hook(Box::new(|fault| {
            let reason = format!("loralab has a fault, and the training could not go on: {fault}");
            Browser::here().post(Message::Refused { reason });
        }));
        spawn_local(async {
            let machine = machine().await;
            answer_messages(Rc::new(machine));
        });
    }

    fn answer_messages(machine: Rc<Machine>) {
        let browser = Browser::here();
        browser.post(ready(&machine));
        let control = Rc::new(Control::default());
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            // The message is a text, or a text with bytes beside it.
            let (text, bytes) = match event.data().dyn_into::<Array>() {
                Ok(both) => (both.get(0), both.get(1).dyn_into::<Uint8Array>().ok()),
                Err(text) => (text, None),
            };
            match serde_json::from_str::<Request>(&text.as_string().unwrap_or_default()) {
                Ok(request) if control.accepts(&request) => {}
                Ok(mut request) => {
                    if let Request::Train { from, .. } = &mut request {
                        *from = bytes.map(|bytes| Blob(bytes.to_vec()));
                    }
                    let (machine, control) = (machine.clone(), control.clone());
                    spawn_local(async move { answer(request, &machine, &control, &Browser::here()).await });
                }
                Err(error) => Browser::here().post(Message::Refused { reason: error.to_string() }),
            }
        });
        browser.scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // The handler must live as long as the worker.
        on_message.forget();
        // Fetched early, so that a loaded tab works without a network; a failure is reported when the base is used.
        spawn_local(async {
            let _ = Browser::here().tiny().await;
        });
    }

    /// The device in the worker's address: the CPU for `?device=cpu`, any GPU for `?device=gpu`, software ones too, or else a hardware GPU. It is the CPU
    /// again if there is no such GPU that works; the page detects this and reports it.
    #[expect(clippy::arc_with_non_send_sync, reason = "a browser's worker has one thread; natively the same is sent")]
    async fn machine() -> Machine {
        let query = Browser::here().scope.location().search();
        if query.contains("device=cpu") {
            return Machine::Cpu(None);
        }
        let wanted = if query.contains("device=gpu") { Wanted::Any } else { Wanted::Hardware };
        open(wanted).await.map_or(Machine::Cpu(None), |accelerator| Machine::Gpu(Arc::new(accelerator)))
    }

    async fn open(wanted: Wanted) -> Result<Accelerator, GpuError> {
        let clock = || Browser::here().seconds();
        let found = wanted.choose(adapters().await)?;
        let options = Options {
            profile: Profile::WebBase,
            checks: Checks::On,
            tiling: Tiling::Given(found.tiles()),
            clock,
            building: |done, of| Browser::here().post(Message::Building { done, of }),
        };
        Accelerator::open(found, options).await
    }
}

#[cfg(target_family = "wasm")]
fn main() {
    browser::listen();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("the worker runs in a browser: `cargo xtask web` builds the page around it and serves it");
}
