SELECT concat('{"number":', t0."number", ',"note":', coalesce((to_json(CASE WHEN t0."customer_id" = $1::uuid THEN t0."note" END))::text, 'null'), ',"goods":{"amount":', (SELECT coalesce(sum(s.v), 0)
    FROM (SELECT (t1."price" * t1."quantity") AS v
      FROM "order_items" AS t1
      WHERE t1."order_id" = t0."id") AS s), ',"currency":"EUR"},"discount":', CASE WHEN t0."discount" IS NULL THEN 'null' ELSE concat('{"amount":', t0."discount", ',"currency":"EUR"}') END, ',"customer":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name"), ',"city":', coalesce((to_json(t2."city"))::text, 'null'), '}') END, ',"items":', (SELECT concat('[', string_agg(j, ','), ']')
    FROM (SELECT concat('{"id":"', t3."id", '","created_at":"', to_char((t3."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","updated_at":"', to_char((t3."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","order":"', t3."order_id", '","product":', CASE WHEN t4."id" IS NULL THEN 'null' ELSE concat('{"id":"', t4."id", '","created_at":"', to_char((t4."created_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","updated_at":"', to_char((t4."updated_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '","name":', to_json(t4."name"), ',"slug":"', t4."slug", '","subtitle":', coalesce((to_json(t4."subtitle"))::text, 'null'), ',"kind":', to_json(t4."kind"), ',"state":', to_json(t4."state"), ',"price":{"amount":', t4."price", ',"currency":"EUR"},"deposit":', CASE WHEN t4."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t4."deposit", ',"currency":"', t4."deposit_currency", '"}') END, ',"weight":', CASE WHEN t4."weight" IS NULL THEN 'null' ELSE concat('"', round((t4."weight")::numeric, 3), '"') END, ',"stock":', t4."stock", ',"origin":', coalesce((to_json(t4."origin"))::text, 'null'), ',"fair_trade":', CASE WHEN t4."fair_trade" THEN 'true' WHEN NOT t4."fair_trade" THEN 'false' ELSE 'null' END, ',"rating":', coalesce((t4."rating")::text, 'null'), ',"harvested":', CASE WHEN t4."harvested" IS NULL THEN 'null' ELSE concat('"', t4."harvested", '"') END, ',"released_at":', CASE WHEN t4."released_at" IS NULL THEN 'null' ELSE concat('"', to_char((t4."released_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '"') END, ',"brewing":', CASE WHEN t4."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t4."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t4."brewing") / 1000000, CASE WHEN abs(t4."brewing") % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(t4."brewing") % 1000000)::text, 6, '0') END, 'S"') END, ',"barcode":', CASE WHEN t4."barcode" IS NULL THEN 'null' ELSE concat('"', t4."barcode", '"') END, ',"tags":', t4."tags", ',"attributes":', coalesce((t4."attributes")::text, 'null'), ',"category":"', t4."category_id", '","available":', CASE WHEN CASE WHEN t4."stock" > $2::bigint THEN TRUE ELSE FALSE END THEN 'true' WHEN NOT CASE WHEN t4."stock" > $2::bigint THEN TRUE ELSE FALSE END THEN 'false' ELSE 'null' END, ',"stock_value":{"amount":', (t4."price" * t4."stock"), ',"currency":"EUR"},"review_count":', (SELECT count(*)
            FROM "reviews" AS t5
            WHERE t5."product_id" = t4."id"), ',"caption":', to_json(((t4."name" || $3::text) || coalesce(t4."subtitle", $4::text))), ',"speed":', to_json(CASE WHEN t4."brewing" IS NULL THEN $5::text ELSE CASE WHEN coalesce(t4."brewing", $6::bigint) < $7::bigint THEN $8::text ELSE $9::text END END), '}') END, ',"quantity":', t3."quantity", ',"price":{"amount":', t3."price", ',"currency":"EUR"}}') AS j
      FROM "order_items" AS t3
      LEFT JOIN "products" AS t4 ON t4."id" = t3."product_id"
      AND (t4."state" = $10::text
        AND (t4."released_at" IS NULL
          OR $11::timestamptz >= t4."released_at"))
      WHERE t3."order_id" = t0."id"
      AND t0."customer_id" = $1::uuid
      ORDER BY t3."id"
      LIMIT $12::bigint) AS rows), '}'), t0."_version"
FROM "orders" AS t0
LEFT JOIN "customers" AS t2 ON t2."id" = t0."customer_id"
AND t2."id" = $1::uuid
WHERE (t0."customer_id" = $1::uuid
  AND t0."id" = $13::uuid)
