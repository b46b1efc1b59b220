//! What a request asks for, wherever it says so: in its query, in fields of a form, or in JSON.

use axum::{extract::Query, http::Uri};

use crate::serve::http::error::ApiError;

/// Classes that are told unless the request says how many.
const TOP: usize = 5;

/// What requests can ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// The model's name.
    pub model: Option<String>,
    /// How many classes.
    pub top: Option<usize>,
    /// In which form heat maps come.
    pub heatmap: Heatmap,
    /// A class that is wanted whether or not it is among the best.
    pub class: Option<usize>,
    /// Whether decoding and resizing are timed by themselves.
    pub split: bool,
    /// Whether embeddings are written in base64.
    pub base64: bool,
    /// Tensors that are wanted.
    pub outputs: Vec<String>,
}

/// In which form heat maps come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heatmap {
    /// Not at all.
    #[default]
    None,
    /// Values, for each of the best classes.
    Grid,
    /// Values, and the picture with those of its best class over it.
    Png,
}

impl Parameters {
    /// How many classes are told.
    pub fn top(&self) -> usize {
        self.top.unwrap_or(TOP)
    }

    /// From a query, which may hold the parameters in `allowed`.
    ///
    /// # Errors
    /// 400 when it holds something else.
    pub fn of_query(uri: &Uri, allowed: &[&str]) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = pairs.map_err(|_| ApiError::bad_request("bad_parameter", "the query cannot be read"))?.0;
        let mut parameters = Self::default();
        pairs.iter().try_for_each(|(name, value)| parameters.set(name, value, allowed))?;
        Ok(parameters)
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// 400 when it is not `allowed` here, or its value is none of its kind.
    pub fn set(&mut self, name: &str, value: &str, allowed: &[&str]) -> Result<(), ApiError> {
        let wrong = |rule: &str| Err(ApiError::bad_request("bad_parameter", format!("`{name}` must be {rule}")));
        match name {
            _ if !allowed.contains(&name) => {
                let name: String = name.chars().take(40).collect();
                let message = format!("no parameter `{name}`; there are: {}", allowed.join(", "));
                return Err(ApiError::bad_request("unknown_parameter", message));
            }
            "model" => self.model = Some(value.to_owned()),
            "top" => match value.parse() {
                Ok(top @ 1..=100_000) => self.top = Some(top),
                _ => return wrong("a whole number from 1 to 100000"),
            },
            "heatmap" => {
                self.heatmap = match value {
                    "grid" | "true" | "1" => Heatmap::Grid,
                    "png" => Heatmap::Png,
                    "none" | "false" | "0" => Heatmap::None,
                    _ => return wrong("none, grid or png"),
                }
            }
            "class" => match value.parse() {
                Ok(class) => self.class = Some(class),
                _ => return wrong("the index of a class"),
            },
            "timings" => {
                self.split = match value {
                    "split" => true,
                    "fused" => false,
                    _ => return wrong("fused or split"),
                }
            }
            "encoding" => {
                self.base64 = match value {
                    "base64" => true,
                    "float" => false,
                    _ => return wrong("float or base64"),
                }
            }
            "outputs" => self.outputs = value.split(',').map(|name| name.trim().to_owned()).collect(),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Heatmap, Parameters};

    #[test]
    fn a_query_sets_what_is_allowed_and_nothing_else() {
        let of =
            |query: &str| Parameters::of_query(&format!("/x?{query}").parse().unwrap(), &["top", "heatmap", "model"]);
        let found = of("top=3&heatmap=grid&model=a%20b").unwrap();
        assert_eq!((found.top(), found.heatmap, found.model.as_deref()), (3, Heatmap::Grid, Some("a b")));
        assert_eq!(of("").unwrap().top(), 5);
        for query in ["top=0", "top=-1", "top=x", "heatmap=yes", "class=1", "tip=3"] {
            assert_eq!(of(query).unwrap_err().status.as_u16(), 400, "{query}");
        }
    }
}
