SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."name", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."category_id" IN (SELECT t1."id"
    FROM "categories" AS t1
    WHERE t1."parent_id" IN (SELECT t2."id"
      FROM "categories" AS t2
      WHERE t2."slug" = ?3)))
ORDER BY t0."name", t0."id"
LIMIT ?4
