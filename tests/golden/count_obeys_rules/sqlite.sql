SELECT 0, c0, NULL
FROM (SELECT (SELECT count(*)
    FROM "reviews" AS t1
    WHERE (t1."hidden" <> ?1
      AND t1."stars" <= ?2)) AS c0 ) AS b0
UNION ALL
SELECT 1, c0, c1
FROM (SELECT json_object('id', t0."id") AS c0, t0."id" AS c1
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> ?3
    AND t0."stars" <= ?4)
  ORDER BY t0."id"
  LIMIT ?5) AS b1
