SELECT concat('{"number":', t0."number", ',"note":', json_quote(CASE WHEN t0."customer_id" = ?1 THEN t0."note" END), ',"goods":{"amount":', (SELECT coalesce(sum(s.v), 0)
    FROM (SELECT (t1."price" * t1."quantity") AS v
      FROM "order_items" AS t1
      WHERE t1."order_id" = t0."id") AS s), ',"currency":"EUR"},"discount":', CASE WHEN t0."discount" IS NULL THEN 'null' ELSE concat('{"amount":', t0."discount", ',"currency":"EUR"}') END, ',"customer":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t2."name"), ',"city":', json_quote(t2."city"), '}') END, ',"items":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"id":"', t3."id", '","created_at":"', t3."created_at", '","updated_at":"', t3."updated_at", '","order":"', t3."order_id", '","product":', CASE WHEN t4."id" IS NULL THEN 'null' ELSE concat('{"id":"', t4."id", '","created_at":"', t4."created_at", '","updated_at":"', t4."updated_at", '","name":', json_quote(t4."name"), ',"slug":"', t4."slug", '","subtitle":', json_quote(t4."subtitle"), ',"kind":', json_quote(t4."kind"), ',"state":', json_quote(t4."state"), ',"price":{"amount":', t4."price", ',"currency":"EUR"},"deposit":', CASE WHEN t4."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t4."deposit", ',"currency":"', t4."deposit_currency", '"}') END, ',"weight":', CASE WHEN t4."weight" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t4."weight" < 0 THEN '-' ELSE '' END, abs(t4."weight") / 1000, '.', printf('%03d', abs(t4."weight") % 1000), '"') END, ',"stock":', t4."stock", ',"origin":', json_quote(t4."origin"), ',"fair_trade":', CASE t4."fair_trade" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, ',"rating":', json_quote(t4."rating"), ',"harvested":', json_quote(t4."harvested"), ',"released_at":', json_quote(t4."released_at"), ',"brewing":', CASE WHEN t4."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t4."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t4."brewing") / 1000000, CASE WHEN abs(t4."brewing") % 1000000 = 0 THEN '' ELSE printf('.%06d', abs(t4."brewing") % 1000000) END, 'S"') END, ',"barcode":', CASE WHEN t4."barcode" IS NULL THEN 'null' ELSE concat('"', t4."barcode", '"') END, ',"tags":', t4."tags", ',"attributes":', coalesce(t4."attributes", 'null'), ',"category":"', t4."category_id", '","available":', CASE CASE WHEN t4."stock" > ?2 THEN 1 ELSE 0 END WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, ',"stock_value":{"amount":', (t4."price" * t4."stock"), ',"currency":"EUR"},"review_count":', (SELECT count(*)
            FROM "reviews" AS t5
            WHERE t5."product_id" = t4."id"), ',"caption":', json_quote(((t4."name" || ?3) || coalesce(t4."subtitle", ?4))), ',"speed":', json_quote(CASE WHEN t4."brewing" IS NULL THEN ?5 ELSE CASE WHEN coalesce(t4."brewing", ?6) < ?7 THEN ?8 ELSE ?9 END END), '}') END, ',"quantity":', t3."quantity", ',"price":{"amount":', t3."price", ',"currency":"EUR"}}') AS j
      FROM "order_items" AS t3
      LEFT JOIN "products" AS t4 ON t4."id" = t3."product_id"
      AND (t4."state" = ?10
        AND (t4."released_at" IS NULL
          OR ?11 >= t4."released_at"))
      WHERE t3."order_id" = t0."id"
      AND t0."customer_id" = ?1
      ORDER BY t3."id"
      LIMIT ?12)), '}'), t0."_version"
FROM "orders" AS t0
LEFT JOIN "customers" AS t2 ON t2."id" = t0."customer_id"
AND t2."id" = ?1
WHERE (t0."customer_id" = ?1
  AND t0."id" = ?13)
