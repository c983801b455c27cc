SELECT ('{' || '"category":' || CASE WHEN t1."id" IS NULL THEN 'null' ELSE ('{' || '"parent":' || CASE WHEN t2."id" IS NULL THEN 'null' ELSE json_object('name', t2."name") END || ',' || substr(json_object('name', t1."name"), 2)) END || ',' || substr(json_object('name', t0."name"), 2)), t0."id"
FROM "products" AS t0
LEFT JOIN "categories" AS t1 ON t1."id" = t0."category_id"
LEFT JOIN "categories" AS t2 ON t2."id" = t1."parent_id"
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."origin" = ?3)
ORDER BY t0."id"
LIMIT ?4
