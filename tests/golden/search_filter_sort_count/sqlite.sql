SELECT 0, c0, NULL, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE (t1."state" = ?1
      AND (t1."released_at" IS NULL
        OR ?2 >= t1."released_at")
      AND t1."kind" <> ?3
      AND t1."_row" IN (SELECT rowid
        FROM "products__search"
        WHERE "products__search" MATCH ?4))) AS c0 ) AS b0
UNION ALL
SELECT 1, c0, c1, c2
FROM (SELECT json_object('name', t0."name", 'price', json_object('amount', t0."price", 'currency', 'EUR')) AS c0, t0."price" AS c1, t0."id" AS c2
  FROM "products" AS t0
  WHERE (t0."state" = ?5
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at")
    AND t0."kind" <> ?6
    AND t0."_row" IN (SELECT rowid
      FROM "products__search"
      WHERE "products__search" MATCH ?7))
  ORDER BY t0."price" DESC, t0."id" DESC
  LIMIT ?8) AS b1
