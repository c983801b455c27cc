// The shop as PocketBase's collections. Customers are its own users; indexes are the ones the questions need.
migrate((app) => {
  const base = (name, rule, fields, indexes, createRule = null) => {
    const collection = new Collection({
      type: "base",
      name,
      listRule: rule,
      viewRule: rule,
      createRule,
      fields: [
        ...fields,
        { name: "created", type: "autodate", onCreate: true },
        { name: "updated", type: "autodate", onCreate: true, onUpdate: true },
      ],
      indexes,
    });
    app.save(collection);
    return collection.id;
  };
  const text = (name) => ({ name, type: "text", required: true });
  const integer = (name) => ({ name, type: "number", onlyInt: true });
  const relation = (name, collectionId) => ({ name, type: "relation", collectionId, maxSelect: 1, required: true });

  const categories = base("categories", "", [text("name"), text("slug")], [
    "CREATE UNIQUE INDEX `idx_categories_slug` ON `categories` (`slug`)",
  ]);
  const products = base("products", "", [
    text("name"), text("slug"), text("description"), integer("price"), { ...integer("cost"), hidden: true },
    relation("category", categories), integer("stock"),
  ], [
    "CREATE UNIQUE INDEX `idx_products_slug` ON `products` (`slug`)",
    "CREATE INDEX `idx_products_shelf` ON `products` (`category`, `price`, `id`)",
  ]);
  const orders = base("orders", "customer = @request.auth.id", [
    relation("customer", app.findCollectionByNameOrId("users").id), text("status"), integer("total"),
  ], [
    "CREATE INDEX `idx_orders_customer` ON `orders` (`customer`, `created`, `id`)",
  ]);
  base("order_items", "order.customer = @request.auth.id", [
    relation("order", orders), relation("product", products), integer("quantity"), integer("price"),
  ], [
    "CREATE INDEX `idx_items_order` ON `order_items` (`order`, `id`)",
    "CREATE INDEX `idx_items_product` ON `order_items` (`product`)",
  ]);
  base("reviews", "", [
    relation("author", app.findCollectionByNameOrId("users").id), relation("product", products),
    { ...integer("stars"), required: true, min: 1, max: 5 }, { ...text("text"), max: 1000 },
  ], [
    "CREATE INDEX `idx_reviews_product` ON `reviews` (`product`)",
    "CREATE INDEX `idx_reviews_author` ON `reviews` (`author`)",
  ], "author = @request.auth.id");
});
