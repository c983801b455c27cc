SELECT concat('{"name":', to_json(t0."name")::text, ',"category":', CASE WHEN t1."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t1."name")::text, ',"parent":', CASE WHEN t2."id" IS NULL THEN 'null' ELSE concat('{"name":', to_json(t2."name")::text, '}') END, '}') END, '}'), (t0."id")::text
FROM "products" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."category_id"
LEFT JOIN "categories" AS t2 ON t2."id" = t1."parent_id"
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at")
  AND t0."origin" = $3::text)
ORDER BY t0."id"
LIMIT $4::bigint
