//! The stories to begin with.

use loralab_experiment::PRESETS;

use crate::html::escaped;

/// A button for each preset; the chosen one is pressed.
pub fn presets(chosen: Option<&str>) -> String {
    let button = |preset: &loralab_experiment::Preset| {
        let (name, title, story) = (preset.name, escaped(preset.title), escaped(preset.story));
        let pressed = chosen == Some(name);
        format!(
            "<button type=\"button\" class=\"preset\" data-do=\"preset\" data-name=\"{name}\" aria-pressed=\"{pressed}\">\
             <b>{title}</b><span>{story}</span></button>"
        )
    };
    PRESETS.iter().map(button).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_is_pressed() {
        let html = super::presets(Some("too-hot"));
        assert_eq!(html.matches("aria-pressed=\"true\"").count(), 1);
        assert!(html.contains("data-name=\"too-hot\" aria-pressed=\"true\""));
    }
}
