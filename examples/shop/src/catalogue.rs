//! The products of the shop.

pub mod names;

use std::collections::HashMap;
use std::path::Path;

use gondola_request::ItemId;

use crate::money::Cents;
use crate::sales::Sales;
use crate::tables::{Table, TableError};
use names::readable;

const FILE: &str = "products.parquet";
/// How the data set writes that a product is of the shop's own brand.
const OWN_BRAND: &str = "Private";

/// A product, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ItemId,
    /// What it is: its type, or else its category, or else its department.
    pub name: String,
    /// The part of the shop where it is, as the data set writes it: pictures go by it.
    pub department: String,
    /// Its category, as the data set writes it: pictures go by it.
    pub category: String,
    /// Whether it is of the shop's own brand.
    pub own_brand: bool,
    /// Who makes it: a number.
    pub manufacturer: String,
    /// How much is in a package.
    pub size: Option<String>,
    /// What it costs; `None` if it is not sold.
    pub price: Option<Cents>,
}

/// All products.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    products: HashMap<ItemId, Product>,
}

impl Catalogue {
    /// Reads the products of the data set in a folder.
    pub fn read(folder: &Path, sales: &Sales) -> Result<Self, TableError> {
        let columns = [
            "product_id",
            "manufacturer_id",
            "department",
            "brand",
            "product_category",
            "product_type",
            "package_size",
        ];
        let table = Table::read(folder.join(FILE), &columns)?;
        let mut texts: Vec<_> = columns
            .iter()
            .map(|column| table.texts(column).map(Vec::into_iter))
            .collect::<Result<_, _>>()?;
        let mut products = HashMap::new();
        while let Some(cells) = texts.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
            if let Some(product) = product(cells, sales) {
                products.insert(product.id.clone(), product);
            }
        }
        Ok(Self { products })
    }

    /// The product of an id.
    pub fn get(&self, id: &str) -> Option<&Product> {
        self.products.get(id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.products.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.products.is_empty()
    }
}

/// A row in the order of the columns; one without an id is no product.
fn product(cells: Vec<Option<String>>, sales: &Sales) -> Option<Product> {
    let [id, manufacturer, department, brand, category, kind, size] = cells.try_into().ok()?;
    let id = id?;
    let department = department.unwrap_or_default();
    let name = [kind.as_deref(), category.as_deref(), Some(&department)];
    let name = name.into_iter().flatten().find(|text| !text.trim().is_empty());
    Some(Product {
        name: readable(name.unwrap_or("product")),
        price: sales.price(&id),
        id: id.into(),
        own_brand: brand.as_deref() == Some(OWN_BRAND),
        manufacturer: manufacturer.unwrap_or_default(),
        size: size.map(|size| size.trim().to_lowercase()),
        category: category.unwrap_or_default(),
        department,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    impl Catalogue {
        /// A catalogue of a few products.
        pub(crate) fn of(products: impl IntoIterator<Item = Product>) -> Self {
            let products = products.into_iter();
            Self {
                products: products.map(|product| (product.id.clone(), product)).collect(),
            }
        }
    }

    /// A product whose name would be markup if nobody escaped it.
    pub(crate) fn sample(id: &str) -> Product {
        Product {
            id: id.into(),
            name: "Tea & <b>biscuits</b>".to_owned(),
            department: "GROCERY".to_owned(),
            category: "TEAS".to_owned(),
            own_brand: true,
            manufacturer: "69".to_owned(),
            size: Some("20 ct".to_owned()),
            price: Some(Cents(299)),
        }
    }

    #[test]
    fn a_product_is_named_by_the_most_exact_thing_that_is_known() {
        let row = |kind: Option<&str>, category: Option<&str>| {
            let cells = [
                Some("7"),
                Some("69"),
                Some("PRODUCE"),
                Some("Private"),
                category,
                kind,
                Some("1 GA"),
            ];
            let cells = cells.map(|cell| cell.map(str::to_owned));
            product(cells.into(), &Sales::default()).unwrap()
        };
        assert_eq!(row(Some("BANANAS"), Some("TROPICAL FRUIT")).name, "Bananas");
        assert_eq!(row(None, Some("TROPICAL FRUIT")).name, "Tropical fruit");
        assert_eq!(row(Some(" "), None).name, "Produce");
        let product = row(None, None);
        assert_eq!(
            (product.own_brand, product.size.as_deref(), product.price),
            (true, Some("1 ga"), None)
        );
    }

    #[test]
    fn a_row_without_an_id_is_no_product() {
        assert_eq!(product(vec![None; 7], &Sales::default()), None);
        assert_eq!(product(vec![Some("7".to_owned())], &Sales::default()), None);
    }
}
