SELECT concat('{"text":', json_quote(t0."text"), ',"remark":', json_quote(CASE WHEN t0."author_id" = ?1 THEN t0."remark" END), '}'), t0."stars", t0."id"
FROM "reviews" AS t0
WHERE ((t0."hidden" <> ?2
    OR t0."author_id" = ?1)
  AND t0."product_id" IN (SELECT t1."id"
    FROM "products" AS t1
    WHERE (t1."state" = ?3
      AND (t1."released_at" IS NULL
        OR ?4 >= t1."released_at")
      AND t1."name" = ?5)))
ORDER BY t0."stars" DESC, t0."id" DESC
LIMIT ?6
