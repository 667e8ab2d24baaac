//! Tags: what operators write on their objects. Only `Name` means something here.

/// The tags of one object, in the order written.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Tags(pub Vec<Tag>);

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value, perhaps empty.
    pub value: String,
}

impl Tags {
    /// The `Name` tag's value, unless it is empty.
    pub fn name(&self) -> Option<&str> {
        self.0
            .iter()
            .find(|tag| tag.key == "Name" && !tag.value.is_empty())
            .map(|tag| tag.value.as_str())
    }
}
