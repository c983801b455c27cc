SELECT concat('{"name":', json_quote(t0."name"), ',"category":{"name":', json_quote(t1."name"), ',"parent":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', json_quote(t2."name"), '}') END, '}}'), t0."id"
FROM "products" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."category_id"
LEFT JOIN "categories" AS t2 ON t2."id" = t1."parent_id"
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."origin" = ?3)
ORDER BY t0."id"
LIMIT ?4
