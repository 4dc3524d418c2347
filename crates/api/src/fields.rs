//! Reading the fields of a request so that every wrong one is named at once: a wrong type, a missing
//! field, a value that does not parse, and a field that nobody asked for.
//!
//! Derived deserialisation stops at the first mistake; a form with five wrong fields should not take
//! five tries. This file knows no endpoint.

use std::fmt::Display;

use serde_json::{Map, Value};
use tenantry_types::{FieldError, Secret};

/// A request's type that reads itself from fields.
pub(crate) trait FromFields: Sized {
    /// The most bytes a body of it may have, where that is less than what is configured.
    const LARGEST: usize = usize::MAX;

    /// Takes what it needs. `None` only when an error was recorded.
    fn from_fields(fields: &mut Fields) -> Option<Self>;
}

/// Fields that are left to read, and what was wrong with those that were read.
pub(crate) struct Fields {
    prefix: String,
    left: Map<String, Value>,
    errors: Vec<FieldError>,
    #[cfg(test)]
    asked: Vec<Asked>,
}

/// A field that a type asks for; a test compares them with what is documented.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// What a field is read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Flag,
    Number(u64, u64),
    NullableNumber(u64, u64),
    List(usize),
    Object,
}

/// What a type asks for, noted while it reads itself from nothing.
#[cfg(test)]
pub(crate) fn asked<T: FromFields>() -> Vec<Asked> {
    let mut fields = Fields::new(String::new(), Map::new());
    let _ = T::from_fields(&mut fields);
    fields.asked
}

/// Reads `T` from an object; anything else than an object is wrong as a whole.
pub(crate) fn read<T: FromFields>(value: Value) -> Result<T, Vec<FieldError>> {
    let Value::Object(object) = value else {
        return Err(vec![FieldError::new("", "must be a JSON object")]);
    };
    let mut fields = Fields::new(String::new(), object);
    let read = T::from_fields(&mut fields);
    fields.refuse_the_rest();
    match read {
        Some(read) if fields.errors.is_empty() => Ok(read),
        _ => Err(fields.errors),
    }
}

/// One line of text of so many characters, without spaces around it and control characters in it.
pub(crate) fn line(text: &str, least: usize, most: usize) -> Result<String, String> {
    let text = text.trim();
    let length = text.chars().count();
    if text.chars().any(|c| c.is_control() || turns_text(c)) {
        Err("must not hold control characters".to_owned())
    } else if (least..=most).contains(&length) {
        Ok(text.to_owned())
    } else {
        Err(format!("must have {least} to {most} characters"))
    }
}

/// Characters that change the direction of what follows (Unicode, UAX 9): with them one name can
/// look like another.
const fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Fields {
    fn new(prefix: String, left: Map<String, Value>) -> Self {
        Self {
            prefix,
            left,
            errors: Vec::new(),
            #[cfg(test)]
            asked: Vec::new(),
        }
    }

    /// Notes what is asked for, once per field, as the first who asks says it.
    #[cfg(test)]
    fn note(&mut self, name: &str, kind: Kind, required: bool) {
        if self.asked.iter().all(|asked| asked.name != name) {
            let name = name.to_owned();
            self.asked.push(Asked {
                name,
                kind,
                required,
            });
        }
    }

    #[cfg(not(test))]
    fn note(&self, _: &str, _: Kind, _: bool) {}

    /// A field that must be there.
    pub(crate) fn required<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.note(name, Kind::Text, true);
        if !self.has(name) {
            self.wrong(name, "is required");
            return None;
        }
        let text = self.text(name)?;
        self.parsed(name, parse(&text))
    }

    /// A field that may be absent. `None` as well when it is wrong, which is then recorded.
    pub(crate) fn optional<T, E: Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.note(name, Kind::Text, false);
        let text = self.text(name)?;
        self.parsed(name, parse(&text))
    }

    /// A secret: any text, of which an error message shows nothing.
    pub(crate) fn secret(&mut self, name: &str) -> Option<Secret> {
        self.note(name, Kind::Text, false);
        self.text(name).map(Secret::new)
    }

    /// A secret that must be there.
    pub(crate) fn required_secret(&mut self, name: &str) -> Option<Secret> {
        self.note(name, Kind::Text, true);
        if !self.has(name) {
            self.wrong(name, "is required");
        }
        self.secret(name)
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.note(name, Kind::Flag, false);
        match self.left.remove(name)? {
            Value::Bool(flag) => Some(flag),
            other => self.wrong_type(name, "true or false", &other),
        }
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        self.note(name, Kind::Number(least, most), false);
        let value = self.left.remove(name)?;
        let number = value.as_u64().filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.wrong(
                name,
                format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    /// A whole number from `least` to `most`, or `null`, which takes it away.
    pub(crate) fn nullable_number(
        &mut self,
        name: &str,
        least: u64,
        most: u64,
    ) -> Option<Option<u64>> {
        self.note(name, Kind::NullableNumber(least, most), false);
        if self.left.get(name).is_some_and(Value::is_null) {
            self.left.remove(name);
            return Some(None);
        }
        self.number(name, least, most).map(Some)
    }

    /// A list of texts, each parsed on its own; errors name the place, e.g. `roles[2]`.
    pub(crate) fn list<T, E: Display>(
        &mut self,
        name: &str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        self.note(name, Kind::List(most), false);
        let items = match self.left.remove(name)? {
            Value::Array(items) if items.len() <= most => items,
            Value::Array(_) => {
                self.wrong(name, format!("must have at most {most} entries"));
                return None;
            }
            other => return self.wrong_type(name, "a list of strings", &other),
        };
        let mut read = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let place = format!("{name}[{index}]");
            let parsed = match item {
                Value::String(text) => self.parsed(&place, parse(text)),
                other => self.wrong_type(&place, "a string", other),
            };
            read.extend(parsed);
        }
        Some(read)
    }

    /// An object with fields of its own; their errors are named `name.field`.
    pub(crate) fn nested<T: FromFields>(&mut self, name: &str) -> Option<T> {
        let object = self.object(name)?;
        let mut inner = Self::new(format!("{}{name}.", self.prefix), object);
        let read = T::from_fields(&mut inner);
        inner.refuse_the_rest();
        self.errors.append(&mut inner.errors);
        read
    }

    /// An object that is kept as it is.
    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.note(name, Kind::Object, false);
        match self.left.remove(name)? {
            Value::Object(object) => Some(object),
            other => self.wrong_type(name, "an object", &other),
        }
    }

    /// Records that a field is wrong, for a check over several fields.
    pub(crate) fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let field = format!("{}{name}", self.prefix);
        self.errors.push(FieldError::new(field, message));
    }

    /// Whether the request has the field at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.left.remove(name)? {
            Value::String(text) => Some(text),
            other => self.wrong_type(name, "a string", &other),
        }
    }

    fn parsed<T, E: Display>(&mut self, name: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(name, error.to_string());
                None
            }
        }
    }

    fn wrong_type<T>(&mut self, name: &str, wanted: &str, got: &Value) -> Option<T> {
        let got = match got {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.wrong(name, format!("must be {wanted}, not {got}"));
        None
    }

    fn refuse_the_rest(&mut self) {
        for name in std::mem::take(&mut self.left).keys() {
            // A name of a kilobyte is not repeated in full.
            let shown: String = name.chars().take(80).collect();
            self.wrong(&shown, "is not a field of this request");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    struct Order {
        name: String,
        count: Option<u64>,
    }

    impl FromFields for Order {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            let name = fields.required("name", short);
            let count = fields.number("count", 1, 9);
            fields.list("tags", 3, short);
            fields.nested::<Buyer>("buyer");
            Some(Self { name: name?, count })
        }
    }

    struct Buyer;

    impl FromFields for Buyer {
        fn from_fields(fields: &mut Fields) -> Option<Self> {
            fields.required("email", short);
            Some(Self)
        }
    }

    fn short(text: &str) -> Result<String, &'static str> {
        if text.len() < 5 {
            Ok(text.to_owned())
        } else {
            Err("is too long")
        }
    }

    fn errors(value: Value) -> Vec<(String, String)> {
        let errors = read::<Order>(value).expect_err("it is wrong");
        errors.into_iter().map(|e| (e.field, e.message)).collect()
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let errors = errors(json!({
            "count": 12, "tags": ["ok", "far too long", 7], "buyer": {"mail": "x"}, "extra": null
        }));
        let named: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            named,
            [
                "name",
                "count",
                "tags[1]",
                "tags[2]",
                "buyer.email",
                "buyer.mail",
                "extra"
            ]
        );
    }

    #[test]
    fn a_wrong_type_names_the_field_and_what_was_sent() {
        let errors = errors(json!({ "name": 5, "buyer": [] }));
        assert_eq!(
            errors[0],
            ("name".into(), "must be a string, not a number".into())
        );
        assert_eq!(
            errors[1],
            ("buyer".into(), "must be an object, not a list".into())
        );
    }

    #[test]
    fn null_is_not_absent_and_a_list_is_no_request() {
        assert_eq!(
            errors(json!({ "name": null }))[0].1,
            "must be a string, not null"
        );
        assert_eq!(errors(json!([]))[0].0, "");
    }

    #[test]
    fn what_is_right_is_read() {
        let order: Order = read(json!({ "name": "abc", "count": 3 })).expect("right");
        assert_eq!((order.name.as_str(), order.count), ("abc", Some(3)));
    }
}
