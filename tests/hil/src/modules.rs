//! Kernel modules and the order in which they are loaded, from what each says it depends on.
//!
//! A module's `.modinfo` section holds `depends=a,b` as a string that ends with a zero; names there
//! have `_` where file names may have `-`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tools::read;
use crate::trouble::{Result, Trouble, at};

/// Every module of a kernel, by name.
pub struct Modules(BTreeMap<String, PathBuf>);

impl Modules {
    /// Lists the folder `lib/modules/VERSION`.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn list(folder: &Path) -> Result<Modules> {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(at(&folder))? {
                let path = entry.map_err(at(&folder))?.path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "ko")
                    && let Some(stem) = path.file_stem()
                {
                    found.insert(stem.to_string_lossy().replace('-', "_"), path);
                }
            }
        }
        Ok(Modules(found))
    }

    /// True if there is such a module.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The modules that `names` need and they themselves, each after those that it needs.
    ///
    /// # Errors
    /// There is no such module.
    pub fn in_order(&self, names: &[&str]) -> Result<Vec<(String, PathBuf)>> {
        let mut order = Vec::new();
        for name in names {
            self.add(name, &mut order)?;
        }
        Ok(order)
    }

    fn add(&self, name: &str, order: &mut Vec<(String, PathBuf)>) -> Result<()> {
        if order.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        let Some(path) = self.0.get(name) else {
            return Err(Trouble::Rig(format!("the kernel has no module {name}")));
        };
        for needed in depends(&read(path)?) {
            self.add(&needed, order)?;
        }
        order.push((name.into(), path.clone()));
        Ok(())
    }
}

/// What a module says it depends on.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|w| w == key) else { return Vec::new() };
    let text: Vec<u8> = module[start + key.len()..].iter().copied().take_while(|byte| *byte != 0).collect();
    let text = String::from_utf8_lossy(&text).replace('-', "_");
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let module = |name: &str, depends: &str| {
            let bytes = [b"ELF\0license=GPL\0depends=", depends.as_bytes(), b"\0name=x\0"].concat();
            fs::create_dir_all(folder.path().join("a/b")).unwrap();
            fs::write(folder.path().join("a/b").join(name), bytes).unwrap();
        };
        module("disk.ko", "bus,check-sum");
        module("bus.ko", "");
        module("check-sum.ko", "bus");
        module("other.ko", "");
        let modules = Modules::list(folder.path()).unwrap();
        let order: Vec<String> = modules.in_order(&["disk", "bus"]).unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(order, ["bus", "check_sum", "disk"]);
        assert!(modules.in_order(&["none"]).is_err() && modules.has("other"));
    }
}
