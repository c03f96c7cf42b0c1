//! Against transformers, by the fixture of `tests/fixtures/make_chats.py`; where answers are found; templates that are made to do harm.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Message, answers, template::Template};
use crate::{ChatError, TokenizerError};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn compiled(source: &str) -> Template {
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, text)| (name.to_owned(), text.to_owned()));
    Template::new(source, "chat_template.jinja", tokens).unwrap_or_else(|error| panic!("{error}"))
}

fn template(name: &str) -> Template {
    let path = fixtures().join("templates").join(name).with_extension("jinja");
    compiled(&std::fs::read_to_string(path).expect("a template"))
}

fn conversation(texts: &[(&str, &str)]) -> Vec<Message> {
    texts.iter().map(|(role, content)| Message::new(*role, *content)).collect()
}

/// SmolLM2's own, which is short enough to stand here.
const SMOLLM: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const NAMES: [&str; 10] =
    ["chatml", "llama2", "llama3", "gemma", "mistral", "zephyr", "qwen", "phi", "generation", "python"];

#[test]
fn texts_are_transformers() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("chats.json")).expect("the fixture")).expect("JSON");
    let chats = expected["chats"].as_array().expect("chats");
    let mut compared = 0;
    for name in NAMES.into_iter().chain(["smollm2-135m"]) {
        let template = if name == "smollm2-135m" { compiled(SMOLLM) } else { template(name) };
        for (chat, both) in chats.iter().zip(expected["texts"][name].as_array().expect("texts")) {
            let messages: Vec<Message> = chat.as_array().expect("messages").iter().map(message).collect();
            for (answering, wanted) in [false, true].into_iter().zip(both.as_array().expect("two")) {
                match (template.render(&messages, answering), wanted[0].as_str()) {
                    (Ok(rendered), Some(wanted)) => assert_eq!(rendered.text, wanted, "{name} {chat}"),
                    (Err(ChatError::Refused(why)), None) => {
                        assert_eq!(Some(&*why), wanted[1].as_str(), "{name} {chat}");
                    }
                    (found, wanted) => panic!("{name} {chat}: {found:?} instead of {wanted:?}"),
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 11 * 9 * 2);
}

fn message(value: &Value) -> Message {
    let field = |name: &str| value[name].as_str().expect("a text").to_owned();
    Message { role: field("role"), content: field("content") }
}

#[test]
fn answers_are_found_with_their_ends() {
    let chat = conversation(&[("user", "Hi"), ("assistant", "Hello."), ("user", "same"), ("assistant", "same")]);
    for (name, wanted) in [
        ("chatml", ["Hello.<|im_end|>", "same<|im_end|>"]),
        ("llama2", [" Hello. </s>", " same </s>"]),
        ("llama3", ["Hello.<|eot_id|>", "same<|eot_id|>"]),
        ("gemma", ["Hello.<end_of_turn>", "same<end_of_turn>"]),
        ("mistral", [" Hello.</s>", " same</s>"]),
        ("zephyr", ["Hello.</s>", "same</s>"]),
        ("phi", ["Hello.<|end|>", "same<|end|>"]),
        ("generation", ["Hello.<|im_end|>", "same<|im_end|>"]),
        // The last answer is given an empty thought, which the model is to write.
        ("qwen", ["Hello.<|im_end|>", "<think>\n\n</think>\n\nsame<|im_end|>"]),
    ] {
        let ends = ["<|im_end|>", "</s>", "<|eot_id|>", "<end_of_turn>", "<|end|>"].map(str::to_owned);
        let found = answers::find(&template(name), &chat, &ends).unwrap_or_else(|error| panic!("{name}: {error}"));
        let texts: Vec<&str> = found.spans.iter().map(|span| &found.text[span.clone()]).collect();
        assert_eq!(texts, wanted, "{name}");
    }
}

#[test]
fn an_answer_that_the_template_drops_is_an_error() {
    let drops = compiled("{% for m in messages %}{{ m.role }}:{{ m.content if m.role == 'user' }};{% endfor %}");
    let chat = conversation(&[("user", "Hi"), ("assistant", "Hello.")]);
    let error = answers::find(&drops, &chat, &[]).map(|found| found.text).expect_err("no answer");
    assert_eq!(error, ChatError::Answer { message: 2 });
}

#[test]
fn a_template_with_an_error_is_a_sentence() {
    for source in
        ["{% for %}", "{{ ", "{% if x %}", "{% generation %}{{ x }}", "{{ x | unheard }}", "{% include 'x' %}"]
    {
        let chat = [Message::new("user", "Hi")];
        let error = match Template::new(source, "chat_template.jinja", []) {
            Err(error) => error.to_string(),
            Ok(template) => template.render(&chat, true).map(|found| found.text).expect_err(source).to_string(),
        };
        assert!(error.contains("template"), "{error}");
    }
    let reversed = compiled("{% for message in messages[::-1] %}{{ message.role }}{% endfor %}");
    assert!(matches!(reversed.render(&[], false), Err(ChatError::Failed(_))));
    let undefined = compiled("{{ messages[7].content.strip() }}");
    assert!(matches!(undefined.render(&[], false), Err(ChatError::Failed(_))));
    assert!(matches!(Template::new("{% for", "x", []), Err(TokenizerError::Template { file: "x", .. })));
}

/// Templates that would take hours or gigabytes end with a sentence, and soon.
#[test]
fn bombs_do_no_harm() {
    let grow = |step: &str| {
        format!("{{% set ns = namespace(x='ab') %}}{{% for i in range(60) %}}{step}{{% endfor %}}{{{{ ns.x }}}}")
    };
    let nested = format!("{}x{}", "{% for i in range(1000) %}".repeat(6), "{% endfor %}".repeat(6));
    let macros = "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('ab') }}".to_owned();
    let bombs = [
        nested,
        macros,
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{% for i in range(100000000) %}{% endfor %}".to_owned(),
        "{{ 'a' * 1000000000000 }}".to_owned(),
        "{% for i in range(100000) %}{{ 'a' * 1000000 }}{% endfor %}".to_owned(),
        grow("{% set ns.x = ns.x ~ ns.x %}"),
        grow("{%- set ns.x = ns.x + ns.x -%}"),
        grow("{% set ns.x = ns.x|replace('a', 'aa') %}{% set ns.x = ns.x.replace('b', 'bb') %}"),
        grow("{% set ns.x = ns.x.join([ns.x, ns.x, ns.x]) %}"),
        grow("{% set ns.x = [ns.x, ns.x] | join %}"),
        grow("{% set ns.x = [ns.x, ns.x] %}"),
        grow("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
        grow("{% set ns.x = (ns.x * 50000) %}"),
    ];
    for bomb in bombs {
        let begun = std::time::Instant::now();
        let found = compiled(&bomb).render(&[Message::new("user", "Hi")], false).map(|found| found.text.len());
        let error = found.expect_err(&bomb);
        assert!(
            matches!(error, ChatError::Bomb(_)) || error.to_string().contains("range has too many"),
            "{bomb}: {error}"
        );
        assert!(begun.elapsed().as_secs() < 60, "{bomb}");
    }
}

#[test]
fn long_conversations_are_no_bombs() {
    let long = "word ".repeat(20_000);
    let chat: Vec<Message> = (0..60).map(|turn| Message::new(["user", "assistant"][turn % 2], long.clone())).collect();
    for name in ["chatml", "llama3", "qwen", "mistral"] {
        let text = template(name).render(&chat, false).unwrap_or_else(|error| panic!("{name}: {error}")).text;
        assert!(text.len() > 5_900_000, "{name}");
    }
}
