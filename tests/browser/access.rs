//! The page for people who do not see, or not well: names, roles, order, contrast.

use serde_json::{Value, json};

use super::{assert_no_errors, play};

/// Looks for controls without a name, regions out of reach of the keys, wrong references and headings, and texts without contrast.
const CHECKS: &str = r#"
    await ready();
    press("inspect");
    await until(() => !find("inspect").disabled);
    press("run");
    await done();
    await until(() => find("texts").textContent.length > 60 && !find("texts").textContent.includes("…"));
    const { contentDocument: page, contentWindow: inside } = frame;
    for (const details of page.querySelectorAll("details")) details.open = true;
    find("own").hidden = false;
    const seen = (element) => element.checkVisibility() && element.getClientRects().length > 0;
    const named = (element) => {
      const by = element.getAttribute("aria-labelledby");
      const label = element.getAttribute("aria-label") ?? (by && by.split(" ").map((id) => find(id)?.textContent).join(" "));
      const own = /^(BUTTON|SUMMARY|A|TH|TD)$/.test(element.tagName) ? element.textContent : "";
      return (label ?? ([...(element.labels ?? [])].map((label) => label.textContent).join(" ") || own)).trim();
    };
    const name = (element) => `${element.tagName.toLowerCase()}#${element.id}.${element.className} in #${element.parentElement?.id}`;

    const controls = [...page.querySelectorAll("button, input, select, textarea, summary, [tabindex], [role=group], [role=region], section, form, progress")];
    const nameless = controls.filter((element) => seen(element) && !named(element)).map(name);
    // A region that scrolls can be reached by keys.
    const stuck = [...page.querySelectorAll("*")].filter((element) => {
      const scrolls = /auto|scroll/.test(inside.getComputedStyle(element).overflowX) && element.scrollWidth > element.clientWidth + 1;
      return seen(element) && scrolls && element.tabIndex < 0 && !element.querySelector("button, input, a");
    }).map(name);
    const ids = [...page.querySelectorAll("[id]")].map(({ id }) => id);
    const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
    const dangling = [...page.querySelectorAll("[aria-describedby], [aria-labelledby], label[for]")].flatMap((element) =>
      ["aria-describedby", "aria-labelledby", "for"].flatMap((key) => element.getAttribute(key)?.split(" ") ?? []).filter((id) => !find(id)));
    const heads = [...page.querySelectorAll("h1, h2, h3")].filter(seen).map(({ tagName }) => Number(tagName[1]));
    const jumps = heads.filter((level, place) => level > (heads[place - 1] ?? 0) + 1);
    const tables = [...page.querySelectorAll("table")].filter(seen);
    const bare = tables.filter((table) => !table.caption || !table.querySelector("th[scope]")).map(name);

    // WCAG 2.2, 1.4.3: relative luminance, and the contrast that a text has with what is behind it.
    const rgba = (text) => {
      const [r, g, b, a] = text.match(/[\d.]+/g).map(Number);
      return { r, g, b, a: a ?? 1 };
    };
    const over = (top, below) => {
      const mix = (key) => top[key] * top.a + below[key] * (1 - top.a);
      return { r: mix("r"), g: mix("g"), b: mix("b"), a: 1 };
    };
    const luminance = ({ r, g, b }) => {
      const linear = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
      return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    };
    const contrast = (one, other) => {
      const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
      return (high + 0.05) / (low + 0.05);
    };
    const behind = (element) => {
      const paper = element ? rgba(inside.getComputedStyle(element).backgroundColor) : { r: 255, g: 255, b: 255, a: 1 };
      return paper.a === 1 ? paper : over(paper, behind(element.parentElement));
    };
    const faint = () => {
      const found = new Map();
      let count = 0;
      for (const element of page.body.querySelectorAll("*")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!own || !seen(element) || element.closest(":disabled, title, desc, noscript, option")) continue;
        const style = inside.getComputedStyle(element);
        const ink = rgba(element.tagName === "text" ? style.fill : style.color);
        for (let at = element; at; at = at.parentElement) ink.a *= Number(inside.getComputedStyle(at).opacity);
        const paper = behind(element);
        const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
        const ratio = contrast(over(ink, paper), paper);
        count += 1;
        if (ratio < (large ? 3 : 4.5)) found.set(`${name(element)}: ${element.textContent.trim().slice(0, 30)}`, ratio.toFixed(2));
      }
      return { count, faint: Object.fromEntries(found) };
    };
    const light = faint();
    page.documentElement.style.colorScheme = "dark";
    // Colours change gently.
    await new Promise((next) => setTimeout(next, 1000));
    const dark = faint();
    const ground = inside.getComputedStyle(page.body).backgroundColor;
    // To see that it looks.
    find("sentence").style.color = "rgb(70, 70, 70)";
    const spoilt = Object.keys(faint().faint).length - Object.keys(dark.faint).length;
    return { controls: controls.length, nameless, stuck, twice, dangling, jumps, tables: tables.length, bare, light, dark, ground, spoilt };
"#;

#[test]
fn everything_has_a_name_and_every_text_can_be_read() {
    let report = play(
        "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=2&batch_size=1&validation_examples=4&diagnose_every=1&device=cpu",
        "",
        CHECKS,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    for found in ["nameless", "stuck", "twice", "dangling", "jumps", "bare"] {
        assert_eq!(answer[found], json!([]), "{answer:#}");
    }
    let at_least = |found: &Value, least: u64| found.as_u64().is_some_and(|count| count >= least);
    assert!(at_least(&answer["controls"], 60) && at_least(&answer["tables"], 4), "{answer:#}");
    for scheme in ["light", "dark"] {
        assert!(at_least(&answer[scheme]["count"], 200), "{answer:#}");
        assert_eq!(answer[scheme]["faint"], json!({}), "{scheme}: {answer:#}");
    }
    assert_eq!((&answer["ground"], &answer["spoilt"]), (&json!("rgb(22, 24, 27)"), &json!(1)), "{answer:#}");
}

#[test]
fn axe_finds_nothing_that_is_serious() {
    let report = play(
        "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=2&batch_size=1&validation_examples=4&diagnose_every=1&device=cpu",
        "",
        r#"
        await ready();
        const { contentDocument: page, contentWindow: inside } = frame;
        const script = page.createElement("script");
        script.src = "/axe.js";
        page.head.append(script);
        await until(() => inside.axe);
        const look = async () => {
          const { violations, passes } = await inside.axe.run(page);
          const told = ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.slice(0, 3).map(({ target }) => target.join(" ")).join("; ")}`;
          return { passes: passes.length, serious: violations.filter(({ impact }) => ["serious", "critical"].includes(impact)).map(told) };
        };
        const first = await look();
        press("run");
        await done();
        await until(() => find("texts").textContent.length > 60 && !find("texts").textContent.includes("…"));
        for (const details of page.querySelectorAll("details")) details.open = true;
        const after = await look();
        frame.style.colorScheme = "dark";
        page.documentElement.style.colorScheme = "dark";
        await new Promise((next) => setTimeout(next, 1000));
        const dark = await look();
        frame.width = 390;
        frame.height = 844;
        await new Promise((next) => setTimeout(next, 300));
        const phone = await look();
        // To see that it looks.
        find("run").removeAttribute("id");
        page.querySelector(".buttons button").textContent = "";
        const spoilt = await look();
        return { version: inside.axe.version, first, after, dark, phone, spoilt };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    for state in ["first", "after", "dark", "phone"] {
        assert_eq!(answer[state]["serious"], json!([]), "{state}: {answer:#}");
        assert!(answer[state]["passes"].as_u64().is_some_and(|passes| passes > 20), "{answer:#}");
    }
    assert!(answer["spoilt"]["serious"].to_string().contains("button-name"), "{answer:#}");
}
