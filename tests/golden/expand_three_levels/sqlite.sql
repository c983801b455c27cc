SELECT concat('{"number":', t0."number", ',"items":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"quantity":', t1."quantity", ',"product":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t2."name"), ',"category":{"name":', json_quote(t3."name"), '}}') END, '}') AS j
      FROM "order_items" AS t1
      LEFT JOIN "products" AS t2 ON t2."id" = t1."product_id"
      AND (t2."state" = ?1
        AND (t2."released_at" IS NULL
          OR ?2 >= t2."released_at"))
      LEFT JOIN "categories" AS t3 ON t3."id" = t2."category_id"
      WHERE t1."order_id" = t0."id"
      AND t0."customer_id" = ?3
      ORDER BY t1."price" DESC, t1."id" DESC
      LIMIT ?4)), '}'), t0."number", t0."id"
FROM "orders" AS t0
WHERE t0."customer_id" = ?3
ORDER BY t0."number" DESC, t0."id" DESC
LIMIT ?5
