//! What the shop knows and does, without sockets. All instances share it, as they would share a database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value as Json, json};
use tokio::sync::broadcast;

/// Orders that are remembered.
const MOST_ORDERS: usize = 1000;
/// Events that a slow listener may be behind.
const EVENTS: usize = 64;

const USERS: [(&str, &str); 5] = [
    ("Ada", "London"),
    ("Grace", "New York"),
    ("Edsger", "Rotterdam"),
    ("Barbara", "Los Angeles"),
    ("Leslie", "Brooklyn"),
];
/// Name and price in cents.
const PRODUCTS: [(&str, u64); 6] = [
    ("Kettle", 4900),
    ("Teapot", 3900),
    ("Cup", 900),
    ("Strainer", 1200),
    ("Oolong, 100 g", 1450),
    ("Sencha, 100 g", 1650),
];

/// A part of the shop, and a service behind Weir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Department {
    Users,
    Products,
    Orders,
}

impl Department {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Products => "products",
            Self::Orders => "orders",
        }
    }
}

/// What a department answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Json,
    pub(super) location: Option<String>,
}

impl Answer {
    fn ok(body: Json) -> Self {
        Self {
            status: 200,
            body,
            location: None,
        }
    }

    fn error(status: u16, message: &str) -> Self {
        Self {
            status,
            body: json!({ "error": message }),
            location: None,
        }
    }
}

/// The shop.
#[derive(Debug)]
pub(super) struct Shop {
    orders: Mutex<Orders>,
    events: broadcast::Sender<String>,
}

#[derive(Debug)]
struct Orders {
    list: VecDeque<Json>,
    next: u64,
}

impl Shop {
    pub(super) fn new() -> Self {
        Self {
            orders: Mutex::new(Orders {
                list: VecDeque::new(),
                next: 1001,
            }),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    /// New orders, as JSON.
    pub(super) fn events(&self) -> broadcast::Receiver<String> {
        self.events.subscribe()
    }

    /// Answers a request to a department. `path` is without query.
    pub(super) fn answer(
        &self,
        department: Department,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Answer {
        let mut segments = path.trim_matches('/').split('/');
        let (first, id, more) = (segments.next(), segments.next(), segments.next());
        if first != Some(department.name()) || more.is_some() {
            return Answer::error(404, "there is nothing here");
        }
        match (department, method, id) {
            (Department::Orders, "POST", None) => self.order(body),
            (_, "GET" | "HEAD", None) => {
                Answer::ok(json!({ department.name(): self.all(department) }))
            }
            (_, "GET" | "HEAD", Some(id)) => self.one(department, id),
            _ => Answer::error(405, "this method is not for this"),
        }
    }

    fn one(&self, department: Department, id: &str) -> Answer {
        let id: u64 = id.parse().unwrap_or(0);
        match self
            .all(department)
            .into_iter()
            .find(|item| item["id"] == id)
        {
            Some(item) => Answer::ok(item),
            None => Answer::error(404, "there is none with this id"),
        }
    }

    fn all(&self, department: Department) -> Vec<Json> {
        match department {
            Department::Users => (1u64..)
                .zip(USERS)
                .map(|(id, (name, city))| json!({ "id": id, "name": name, "city": city }))
                .collect(),
            Department::Products => (1u64..)
                .zip(PRODUCTS)
                .map(|(id, (name, cents))| json!({ "id": id, "name": name, "cents": cents }))
                .collect(),
            Department::Orders => self.orders().list.iter().cloned().collect(),
        }
    }

    fn order(&self, body: &[u8]) -> Answer {
        let Ok(wanted) = serde_json::from_slice::<Json>(body) else {
            return Answer::error(
                400,
                "send JSON: {\"user\": 1, \"product\": 2, \"quantity\": 3}",
            );
        };
        let user = wanted["user"]
            .as_u64()
            .filter(|id| (1..=USERS.len() as u64).contains(id));
        let product = wanted["product"]
            .as_u64()
            .and_then(|id| Some((id, PRODUCTS.get((id as usize).checked_sub(1)?)?)));
        let quantity = wanted
            .get("quantity")
            .map_or(Some(1), Json::as_u64)
            .filter(|quantity| (1..=100).contains(quantity));
        let (Some(user), Some((product, (_, cents))), Some(quantity)) = (user, product, quantity)
        else {
            return Answer::error(
                422,
                "it takes a user (1 to 5), a product (1 to 6) and a quantity (1 to 100)",
            );
        };
        let mut orders = self.orders();
        let id = orders.next;
        orders.next += 1;
        let order = json!({ "id": id, "user": user, "product": product, "quantity": quantity, "cents": cents * quantity });
        if orders.list.len() == MOST_ORDERS {
            orders.list.pop_front();
        }
        orders.list.push_back(order.clone());
        drop(orders);
        // Nobody may be listening.
        let _ = self.events.send(order.to_string());
        Answer {
            status: 201,
            body: order,
            location: Some(format!("/api/orders/{id}")),
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departments_by_table() {
        let shop = Shop::new();
        for (department, method, path, body, status) in [
            (Department::Users, "GET", "/users", "", 200),
            (Department::Users, "GET", "/users/", "", 200),
            (Department::Users, "GET", "/users/5", "", 200),
            (Department::Users, "GET", "/users/6", "", 404),
            (Department::Users, "GET", "/users/x", "", 404),
            (Department::Users, "GET", "/users/1/2", "", 404),
            (Department::Users, "GET", "/products/1", "", 404),
            (Department::Users, "POST", "/users", "{}", 405),
            (Department::Products, "HEAD", "/products/6", "", 200),
            (Department::Orders, "GET", "/orders", "", 200),
            (Department::Orders, "GET", "/orders/1001", "", 404),
            (Department::Orders, "POST", "/orders", "", 400),
            (Department::Orders, "POST", "/orders", "[]", 422),
            (
                Department::Orders,
                "POST",
                "/orders",
                r#"{"user":9,"product":1}"#,
                422,
            ),
            (
                Department::Orders,
                "POST",
                "/orders",
                r#"{"user":1,"product":0}"#,
                422,
            ),
            (
                Department::Orders,
                "POST",
                "/orders",
                r#"{"user":1,"product":1,"quantity":101}"#,
                422,
            ),
            (
                Department::Orders,
                "POST",
                "/orders",
                r#"{"user":1,"product":1}"#,
                201,
            ),
            (Department::Orders, "GET", "/orders/1001", "", 200),
        ] {
            let answer = shop.answer(department, method, path, body.as_bytes());
            assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        }
    }

    #[test]
    fn orders_are_counted_told_and_forgotten() {
        let shop = Shop::new();
        let mut events = shop.events();
        let order = |quantity: u64| {
            let body = json!({ "user": 2, "product": 3, "quantity": quantity }).to_string();
            shop.answer(Department::Orders, "POST", "/orders", body.as_bytes())
        };
        let first = order(2);
        assert_eq!(
            first.body,
            json!({ "id": 1001, "user": 2, "product": 3, "quantity": 2, "cents": 1800 })
        );
        assert_eq!(first.location.as_deref(), Some("/api/orders/1001"));
        assert_eq!(events.try_recv().unwrap(), first.body.to_string());
        for _ in 0..MOST_ORDERS {
            order(1);
        }
        assert_eq!(shop.all(Department::Orders).len(), MOST_ORDERS);
        assert_eq!(shop.one(Department::Orders, "1001").status, 404);
    }
}
