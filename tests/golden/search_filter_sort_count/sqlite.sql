SELECT concat('{"name":', json_quote(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"}}'), t0."price", t0."id", (SELECT count(*)
  FROM "products" AS t1
  WHERE (t1."state" = ?6
    AND (t1."released_at" IS NULL
      OR ?2 >= t1."released_at")
    AND t1."kind" <> ?7
    AND t1."_row" IN (SELECT rowid
      FROM "products__search"
      WHERE "products__search" MATCH ?8)))
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."kind" <> ?3
  AND t0."_row" IN (SELECT rowid
    FROM "products__search"
    WHERE "products__search" MATCH ?4))
ORDER BY t0."price" DESC, t0."id" DESC
LIMIT ?5
