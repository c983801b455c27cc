SELECT concat('{"number":', t0."number", ',"items":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"price":{"amount":', t1."price", ',"currency":"EUR"},"product":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t2."name"), '}') END, '}') AS j
      FROM "order_items" AS t1
      LEFT JOIN "products" AS t2 ON t2."id" = t1."product_id"
      AND (t2."state" = ?1
        AND (t2."released_at" IS NULL
          OR ?2 >= t2."released_at"))
      WHERE t1."order_id" = t0."id"
      AND t0."customer_id" = ?3
      ORDER BY t1."id"
      LIMIT ?4)), '}'), t0."id"
FROM "orders" AS t0
WHERE (t0."customer_id" = ?3
  AND t0."number" = ?5)
ORDER BY t0."id"
LIMIT ?6
