SELECT 0, c0, NULL
FROM (SELECT (SELECT count(*)
    FROM "products" AS t1
    WHERE t1."state" = ?1) AS c0 ) AS b0
UNION ALL
SELECT 1, c0, c1
FROM (SELECT json_object('id', t0."id") AS c0, t0."id" AS c1
  FROM "products" AS t0
  WHERE t0."state" = ?2
  ORDER BY t0."id"
  LIMIT ?3) AS b1
