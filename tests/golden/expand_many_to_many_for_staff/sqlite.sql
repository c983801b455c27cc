SELECT concat('{"name":', json_quote(t0."name"), ',"labels":', (SELECT concat('[', group_concat(j, ','), ']')
    FROM (SELECT concat('{"name":', json_quote(t2."name"), ',"internal":', CASE t2."internal" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, '}') AS j
      FROM "product_labels" AS t1
      JOIN "labels" AS t2 ON t2."id" = t1."label_id"
      WHERE t1."product_id" = t0."id"
      ORDER BY t2."name", t2."id"
      LIMIT ?1)), '}'), t0."id"
FROM "products" AS t0
WHERE t0."id" IN (SELECT value
  FROM json_each(?2))
ORDER BY t0."id"
LIMIT ?3
