//! Where the files of a model lie that do not travel in the binary.

use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of models; where it is set, no other place is looked at.
pub const VARIABLE: &str = "LAPWING_MODELS";

/// The name of the folder of models in a checkout.
const MODELS: &str = "models";

/// No folder with the file was found. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    model: String,
    file: String,
    stated: Option<PathBuf>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Missing { model, file, stated } = self;
        match stated {
            Some(folder) => {
                let place = folder.join(model).join(file);
                write!(
                    f,
                    "{} is not there; {VARIABLE} must name the folder `models` of lapwing's sources",
                    place.display()
                )
            }
            None => write!(
                f,
                "{MODELS}/{model}/{file} was not found: it is not part of the binary; call lapwing in a folder of its \
                 sources, or set {VARIABLE} to their folder `{MODELS}`"
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// The folder of `model` that holds `file`: under [`VARIABLE`] if that is set, else `models/MODEL` in the current
/// folder, in the program's folder, or in one above either.
///
/// # Errors
/// That there is none, and what to do.
pub fn folder(model: &str, file: &str) -> Result<PathBuf, Missing> {
    let stated = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let current = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let starts = [current.as_deref(), program.as_deref().and_then(Path::parent)];
    search(model, file, stated, starts.into_iter().flatten())
}

fn search<'a>(
    model: &str,
    file: &str,
    stated: Option<PathBuf>,
    mut starts: impl Iterator<Item = &'a Path>,
) -> Result<PathBuf, Missing> {
    let holds = |folder: &PathBuf| folder.join(file).is_file();
    let found = match &stated {
        Some(models) => Some(models.join(model)).filter(holds),
        None => starts.find_map(|start| start.ancestors().map(|at| at.join(MODELS).join(model)).find(holds)),
    };
    found.ok_or_else(|| Missing { model: model.into(), file: file.into(), stated })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn a_checkout_is_found_from_any_of_its_folders_and_from_its_program() {
        let (deep, nowhere) = (here().join("train/flow"), PathBuf::from("/nowhere"));
        let expected = here().join("detect-nano");
        for starts in [[&deep, &nowhere], [&nowhere, &deep]] {
            let found = search("detect-nano", "model.onnx", None, starts.into_iter().map(PathBuf::as_path));
            assert_eq!(found.as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn a_stated_folder_is_the_only_one_that_is_looked_at() {
        let start = here();
        let find = |stated: PathBuf| search("detect-nano", "model.onnx", Some(stated), [start.as_path()].into_iter());
        assert_eq!(find(here()), Ok(here().join("detect-nano")));
        let said = find(here().join("train")).unwrap_err().to_string();
        assert!(said.contains("train/detect-nano/model.onnx") && said.contains(VARIABLE), "{said}");
    }

    #[test]
    fn what_is_missing_is_named_with_the_cure() {
        let said = search("flow-cifar", "none.onnx", None, [here().as_path()].into_iter()).unwrap_err().to_string();
        assert!(said.contains("models/flow-cifar/none.onnx") && said.contains(VARIABLE), "{said}");
    }
}
