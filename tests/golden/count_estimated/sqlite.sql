SELECT 0, c0, NULL
FROM (SELECT (SELECT count(*)
    FROM (SELECT 1
      FROM "products" AS t1
      WHERE (t1."state" = ?1
        AND (t1."released_at" IS NULL
          OR ?2 >= t1."released_at")
        AND t1."kind" = ?3)
      LIMIT 10001) AS capped) AS c0 ) AS b0
UNION ALL
SELECT 1, c0, c1
FROM (SELECT json_object('id', t0."id") AS c0, t0."id" AS c1
  FROM "products" AS t0
  WHERE (t0."state" = ?4
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at")
    AND t0."kind" = ?5)
  ORDER BY t0."id"
  LIMIT ?6) AS b1
