// A purchase as PocketBase's documentation teaches it: a route of one's own, a transaction, and its records.
routerAdd("POST", "/api/purchase", (e) => {
  const items = e.requestInfo().body.items;
  if (!Array.isArray(items) || items.length < 1 || items.length > 50) {
    throw new BadRequestError("A purchase has between 1 and 50 lines.");
  }
  let order;
  $app.runInTransaction((tx) => {
    const bought = [];
    let total = 0;
    for (const item of items) {
      if (!Number.isInteger(item.quantity) || item.quantity < 1 || item.quantity > 100) {
        throw new BadRequestError("quantity is between 1 and 100.");
      }
      const product = tx.findRecordById("products", item.product);
      const left = product.getInt("stock") - item.quantity;
      if (left < 0) {
        throw new ApiError(409, "There is too little of it.");
      }
      product.set("stock", left);
      tx.save(product);
      const price = product.getInt("price") * item.quantity;
      total += price;
      bought.push({ product: product.id, quantity: item.quantity, price });
    }
    order = new Record(tx.findCollectionByNameOrId("orders"));
    order.set("customer", e.auth.id);
    order.set("status", "paid");
    order.set("total", total);
    tx.save(order);
    for (const line of bought) {
      const item = new Record(tx.findCollectionByNameOrId("order_items"));
      item.set("order", order.id);
      item.set("product", line.product);
      item.set("quantity", line.quantity);
      item.set("price", line.price);
      tx.save(item);
    }
  });
  return e.json(201, order);
}, $apis.requireAuth("users"));
