//! Settings of the run, and the command that reproduces it.

use serde_json::{Map, Value};

use super::markup::{escaped, table};
use crate::run::{AdapterRecord, DeviceLoss, Resumption, RunSettings, duration};

/// Value that files of earlier versions do not have.
const UNKNOWN: &str = "unknown";

pub(super) fn section(settings: &RunSettings) -> String {
    let mut tables = typed("Run", &run(settings));
    let train = (&RunSettings::TRAIN.to_string(), &settings.train);
    for (name, group) in [train].into_iter().filter(|(_, group)| !group.is_empty()).chain(&settings.groups) {
        tables += &typed(name, &rows(group));
    }
    let list = |heading: &str, items: String| match items.is_empty() {
        true => items,
        false => format!("<h3>{heading}</h3>\n<ul>\n{items}</ul>\n"),
    };
    let resumptions = list("Resumptions", settings.resumptions.iter().map(resumption).collect())
        + &list("Lost devices", settings.device_losses.iter().map(device_loss).collect());
    format!(
        "<div class=\"command\">\n<pre id=\"command\" tabindex=\"0\" \
         aria-label=\"The command that reproduces the run\">{}</pre>\n\
         <button type=\"button\" id=\"copy\" class=\"scripted\">Copy</button>\n</div>\n{resumptions}<div class=\"settings\">\n{tables}</div>\n",
        escaped(&settings.command),
    )
}

fn run(settings: &RunSettings) -> Vec<(String, String)> {
    let mut rows = vec![
        ("version".to_string(), settings.version.clone()),
        ("started".into(), settings.started.clone().unwrap_or(UNKNOWN.into())),
        ("wall\u{a0}time".into(), settings.wall_seconds.map_or(UNKNOWN.into(), duration)),
        (
            "end".into(),
            settings.ended.map_or(UNKNOWN.into(), |end| format!("{} after step {}", end.cause.described(), end.step)),
        ),
        ("seed".into(), settings.seed.to_string()),
        ("parameters".into(), settings.parameters.to_string()),
        ("GPU\u{a0}memory".into(), format!("{:.1} MiB", settings.gpu_bytes as f64 / f64::from(1 << 20))),
    ];
    rows.extend(adapter(&settings.adapter));
    rows
}

fn adapter(adapter: &AdapterRecord) -> [(String, String); 4] {
    let AdapterRecord { name, backend, kind, driver, driver_info } = adapter;
    [
        ("adapter".into(), name.clone()),
        ("backend".into(), backend.clone()),
        ("kind".into(), kind.clone()),
        ("driver".into(), format!("{driver} {driver_info}")),
    ]
}

fn resumption(resumption: &Resumption) -> String {
    let changes = match resumption.changes.is_empty() {
        true => String::new(),
        false => format!(", with {}", resumption.changes.join(" ")),
    };
    let text = format!("after step {} on {}{changes}", resumption.step, resumption.adapter.described());
    format!("<li>{}</li>\n", escaped(&text))
}

fn device_loss(loss: &DeviceLoss) -> String {
    format!("<li>after step {}, resumed from the checkpoint of step {}</li>\n", loss.step, loss.resumed_from)
}

fn rows(group: &Map<String, Value>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        other => other.to_string(),
    };
    group.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Table of text typed by the user, which is escaped.
fn typed(caption: &str, rows: &[(String, String)]) -> String {
    let rows: Vec<(String, String)> = rows.iter().map(|(key, value)| (escaped(key), escaped(value))).collect();
    table("typed", &escaped(caption), &rows)
}

#[cfg(test)]
mod tests {
    use super::super::samples::square;
    use super::*;

    #[test]
    fn every_group_is_a_table_and_the_command_is_there() {
        let mut settings = square(4).settings;
        let changes = vec!["lr=1e-4".to_string()];
        settings.resumptions = vec![Resumption { step: 40, adapter: settings.adapter.clone(), changes }];
        let html = section(&settings);
        for text in ["<caption>train", "<caption>ptf", "<caption>rydberg", "ketformer train Lx=4", "2x2", "llvmpipe"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(html.contains(
            "after step 40 on llvmpipe (LLVM 15.0.6, 256 bits) (llvmpipe Mesa 22.3.6 (LLVM 15.0.6)), with lr=1e-4"
        ));
        assert!(html.contains("<td>2026-12-01T08:32:54Z</td>") && html.contains("<td>3m43s</td>"), "{html}");
        assert!(html.contains("<td>completed after step 60</td>") && !html.contains("Lost devices"), "{html}");
        settings.resumptions.clear();
        assert!(!section(&settings).contains("Resumptions"));
        settings.device_losses = vec![DeviceLoss { step: 47, resumed_from: 40 }];
        assert!(section(&settings).contains("<li>after step 47, resumed from the checkpoint of step 40</li>"));
        settings = RunSettings { started: None, wall_seconds: None, ended: None, ..settings };
        assert_eq!(section(&settings).matches("<td>unknown</td>").count(), 3);
    }
}
