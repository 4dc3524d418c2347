//! Two routes with one method and path, at two kinds of host, as one operation.

use serde_json::{Value, json};

/// The operation that is both. Ids, tags and order are those of the first, a base domain's.
pub(super) fn both(base: Value, tenant: Value) -> Value {
    let mut one = base.clone();
    for word in ["summary", "description"] {
        let (at_base, at_tenant) = (text(&base[word]), text(&tenant[word]));
        if at_base != at_tenant {
            one[word] = json!(match word {
                "summary" => format!("{at_base} / {at_tenant}"),
                _ => format!("At a base domain: {at_base}\n\nAt a tenant's host: {at_tenant}"),
            });
        }
    }
    for list in ["parameters", "security", "servers"] {
        let both = joined(&base[list], &tenant[list]);
        if base[list].is_null() && tenant[list].is_null() {
            if let Some(object) = one.as_object_mut() {
                object.remove(list);
            }
        } else {
            one[list] = both.into();
        }
    }
    // An operation without servers of its own has those of the document; beside a tenant's it would not.
    if base["servers"].is_null() && !tenant["servers"].is_null() {
        one["servers"] = tenant["servers"].clone();
    }
    match (
        base["requestBody"].is_object(),
        tenant["requestBody"].is_object(),
    ) {
        (true, true) => {
            one["requestBody"]["content"] = contents(&base["requestBody"], &tenant["requestBody"])
        }
        (false, true) => {
            one["requestBody"] = tenant["requestBody"].clone();
            one["requestBody"]["required"] = json!(false);
        }
        (true, false) => one["requestBody"]["required"] = json!(false),
        (false, false) => {
            if let Some(object) = one.as_object_mut() {
                object.remove("requestBody");
            }
        }
    }
    if let Some(responses) = tenant["responses"].as_object() {
        for (status, response) in responses {
            let first = &base["responses"][status];
            one["responses"][status] = match first.is_object() {
                true => answers(first, response),
                false => response.clone(),
            };
        }
    }
    one
}

fn answers(base: &Value, tenant: &Value) -> Value {
    let mut one = base.clone();
    let (at_base, at_tenant) = (text(&base["description"]), text(&tenant["description"]));
    if at_base != at_tenant {
        one["description"] = json!(format!(
            "At a base domain: {at_base}\n\nAt a tenant's host: {at_tenant}"
        ));
    }
    for (name, header) in tenant["headers"].as_object().into_iter().flatten() {
        one["headers"][name] = header.clone();
    }
    one["content"] = contents(base, tenant);
    if let Some(object) = one.as_object_mut() {
        object.retain(|_, value| !value.is_null());
    }
    one
}

/// By media type, each schema being one of both.
fn contents(base: &Value, tenant: &Value) -> Value {
    let mut all = base["content"].clone();
    for (media, content) in tenant["content"].as_object().into_iter().flatten() {
        let first = &base["content"][media];
        if !first.is_object() {
            all[media] = content.clone();
        } else if first["schema"] != content["schema"] {
            // Any, not one: two lists of codes overlap.
            all[media]["schema"] = json!({ "anyOf": [first["schema"], content["schema"]] });
            for (name, example) in content["examples"].as_object().into_iter().flatten() {
                all[media]["examples"][name] = example.clone();
            }
        }
    }
    all
}

fn joined(base: &Value, tenant: &Value) -> Vec<Value> {
    let mut all = base.as_array().cloned().unwrap_or_default();
    for one in tenant.as_array().into_iter().flatten() {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
    all
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
