SELECT concat('{"name":', json_quote(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"},"category":{"name":', json_quote(t3."name"), '}}'), (SELECT (SELECT t2."name"
    FROM "categories" AS t2
    WHERE t2."id" = t1."parent_id")
  FROM "categories" AS t1
  WHERE t1."id" = t0."category_id"), t0."price", t0."id"
FROM "products" AS t0
LEFT JOIN "categories" AS t3 ON t3."id" = t0."category_id"
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at"))
ORDER BY (SELECT (SELECT t2."name"
    FROM "categories" AS t2
    WHERE t2."id" = t1."parent_id")
  FROM "categories" AS t1
  WHERE t1."id" = t0."category_id") NULLS LAST, t0."price" DESC, t0."id" DESC
LIMIT ?3
