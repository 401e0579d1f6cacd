//! docs/benchmark.schema.json: the JSON schema of reports, generated from the types and their documentation.
//!
//! `KETFORMER_RECORD_DOCS=1 cargo test --release --lib bench::schema` rewrites it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{BenchReport, PowerLaw, ScalingCurve};
use crate::arena::{AttentionProblem, BenchRow, Environment, Limits, OperationCost};

/// Schema of the types, without line breaks of the source in the descriptions.
fn generated() -> Value {
    let mut schema = schemars::schema_for!(BenchReport).to_value();
    join_lines(&mut schema);
    schema
}

fn join_lines(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut("description") {
                *text = text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
            }
            fields.values_mut().for_each(join_lines);
        }
        Value::Array(values) => values.iter_mut().for_each(join_lines),
        _ => (),
    }
}

/// What in `value` the schema does not allow: fields that it does not name, missing ones, other types and other words.
fn faults(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        return faults(root, &root["$defs"][name.trim_start_matches("#/$defs/")], value, at);
    }
    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let all: Vec<Vec<String>> = choices.iter().map(|choice| faults(root, choice, value, at)).collect();
        return if all.iter().any(Vec::is_empty) { Vec::new() } else { all.concat() };
    }
    let mut found = Vec::new();
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_type = |word: &Value| word == name || (name == "integer" && word == "number");
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::Array(words) => words.iter().any(is_type),
        word => is_type(word),
    };
    let words = [schema["enum"].as_array().cloned(), schema.get("const").map(|word| vec![word.clone()])];
    if !fits || words.into_iter().flatten().any(|words| !words.contains(value)) {
        found.push(format!("{at} is {value}"));
    }
    match value {
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            found.extend(required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at} has no {name}")));
            for (name, value) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => found.extend(faults(root, schema, value, &format!("{at}.{name}"))),
                    None => found.push(format!("{at}.{name} is not in the schema")),
                }
            }
        }
        Value::Array(values) => {
            values.iter().for_each(|value| found.extend(faults(root, &schema["items"], value, &format!("{at}[]"))));
        }
        _ => (),
    }
    found
}

/// Report whose fields all have values.
fn full() -> BenchReport {
    let problem = AttentionProblem::parse("8x12x128x64").unwrap();
    let environment = Environment { subgroup_sizes: [8, 32], ..Environment::default() };
    let cost = OperationCost { operation: "shuffle".into(), g_per_s: 1.5, core_ns: Some(2.5) };
    let limits = Limits {
        gflops: 100.5,
        gbytes_per_s: 10.5,
        gshuffles_per_s: Some(1.5),
        operations: vec![cost],
        ..Limits::default()
    };
    let mut row = BenchRow::of_attention(&problem, "mine", &environment);
    row.fill_times(&[1.5, 2.5, 3.5], crate::gpu::Clock::Timestamp, &limits);
    let text = || Some(String::from("a"));
    (row.error, row.file, row.sha256, row.suite) = (text(), text(), text(), text());
    (row.cold_ms, row.cold_quartiles_ms, row.drift_percent) = (Some(1.5), Some([1.5, 2.5]), Some(-0.5));
    (row.max_error, row.tolerance, row.deterministic, row.first_use_ms) =
        (Some(1e-7), Some(1e-5), Some(true), Some(0.5));
    let fit = Some(PowerLaw { factor: 1.5, exponent: 2.5, error: 0.1, from: 16.5 });
    let curve = ScalingCurve {
        family: "ptf".into(),
        pass: "sampling".into(),
        points: vec![[1.5, 2.5]],
        parameters: vec![7],
        fit,
    };
    BenchReport { limits, rows: vec![row], notes: vec!["a note".into()], curves: vec![curve] }
}

#[test]
fn the_schema_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmark.schema.json");
    let text = serde_json::to_string_pretty(&generated()).unwrap() + "\n";
    if std::env::var_os("KETFORMER_RECORD_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == text, "run this test with KETFORMER_RECORD_DOCS=1 and commit docs/benchmark.schema.json");
}

#[test]
fn reports_follow_the_schema() {
    let schema = generated();
    let value = serde_json::to_value(full()).unwrap();
    let null = |value: &Value| {
        value.as_object().unwrap().iter().find(|(_, value)| value.is_null()).map(|(name, _)| name.clone())
    };
    assert_eq!(null(&value["rows"][0]), None, "every field has a value");
    assert_eq!(faults(&schema, &schema, &value, "report"), Vec::<String>::new());
    let empty =
        BenchReport { rows: vec![BenchRow::default()], ..BenchReport::parse("", &full().json().unwrap()).unwrap() };
    assert_eq!(faults(&schema, &schema, &serde_json::to_value(empty).unwrap(), "report"), Vec::<String>::new());
}

#[test]
fn what_is_not_a_report_does_not_follow_the_schema() {
    let schema = generated();
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 5] = [
        ("rows[].median_ms is \"fast\"", |value| value["rows"][0]["median_ms"] = "fast".into()),
        ("rows[].status is \"FINE\"", |value| value["rows"][0]["status"] = "FINE".into()),
        ("rows[].speed is not in the schema", |value| value["rows"][0]["speed"] = 1.into()),
        ("limits is 3", |value| value["limits"] = 3.into()),
        ("report has no rows", |value| {
            value.as_object_mut().unwrap().remove("rows");
        }),
    ];
    for (expected, change) in cases {
        let mut value = serde_json::to_value(full()).unwrap();
        change(&mut value);
        let found = faults(&schema, &schema, &value, "report").join("; ");
        assert!(found.contains(expected), "{expected}: {found}");
    }
}
